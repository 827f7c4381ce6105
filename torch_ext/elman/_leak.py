"""What `LeakyRNN` and `LeakyRNNCell` have in common: alpha, its learning, and the noise."""

import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils import parametrize

from elman._activations import activate

__all__ = ["Leaky"]

# What the classes that have a leak are beside.
_Module: Any = torch.nn.Module if TYPE_CHECKING else object

_FORMS = ("rate", "current")


def check_form(form: object) -> None:
    """Raises ValueError unless `form` is the name of one."""
    if form not in _FORMS:
        raise ValueError(f"Unknown form '{form}'. Select from 'rate' or 'current'.")


def _parse_value(name: str, value: object, shapes: list[tuple[int, ...]]) -> Tensor:
    """`value`, a number or a tensor of one of the shapes, in float64."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return torch.tensor(float(value), dtype=torch.float64, device="cpu")
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} should be a number or a Tensor, got: {type(value).__name__}")
    if not value.dtype.is_floating_point:
        raise TypeError(f"{name} should be a floating point Tensor, got: {value.dtype}")
    if value.dim() and tuple(value.shape) not in shapes:
        shape = "".join(f" or of shape {list(shape)}" for shape in shapes)
        raise ValueError(f"{name} must be a number{shape}, got {list(value.shape)}")
    return value.detach().to("cpu", torch.float64, copy=True)


def parse_alpha(alpha: object, tau: object, dt: object, shapes: list[tuple[int, ...]]) -> Tensor:
    """Alpha in float64, given by itself or by tau with dt, of shape () or one of `shapes`."""
    if alpha is not None:
        for name, value in (("tau", tau), ("dt", dt)):
            if value is not None:
                raise ValueError(
                    f"{name}: expected alpha, or tau with dt (alpha = dt / tau), but got both "
                    f"alpha = {alpha} and {name} = {value}"
                )
        result = _parse_value("alpha", alpha, shapes)
        text = f"alpha must lie in (0, 1], got {alpha}"
    else:
        if tau is None:
            raise ValueError("alpha: expected a value in (0, 1], or tau with dt (alpha = dt / tau)")
        if dt is None:
            raise ValueError(f"dt: expected a number with tau = {tau} (alpha = dt / tau), got None")
        length, constants = _parse_value("dt", dt, []), _parse_value("tau", tau, shapes)
        for name, given, values in (("dt", dt, length), ("tau", tau, constants)):
            if not (values > 0).all():
                raise ValueError(f"{name} must be greater than zero, got {given}")
        result = length / constants
        text = f"alpha = dt / tau must lie in (0, 1], got tau = {tau} and dt = {dt}"
    if not ((result > 0) & (result <= 1)).all():
        raise ValueError(text)
    return result


def parse_noise(noise: object) -> float:
    """The standard deviation as a float."""
    if isinstance(noise, bool) or not isinstance(noise, numbers.Real):
        raise TypeError(f"noise should be a number, got: {type(noise).__name__}")
    value = float(noise)
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"noise must be finite and not negative, got {noise}")
    return value


def unit_interval(raw: Tensor) -> Tensor:
    """A number in (0, 1] for any finite one; the sigmoid, which underflow does not make zero."""
    if raw.is_complex():  # of a module that was made complex
        raw = torch.real(raw)
    # torch.finfo(raw.dtype).tiny, which TorchScript does not know, or a little more.
    tiny = 1.2e-38 if raw.dtype != torch.float16 else 6.2e-5
    return torch.sigmoid(raw).clamp_min(tiny)


def noise_shape(input: Tensor, num_layers: int, features: int) -> list[int]:
    """[..., D*H] of an input [..., I]; [L, ..., D*H] of several layers."""
    shape = list(input.shape[:-1]) + [features]
    return [num_layers] + shape if num_layers > 1 else shape


def draw_noise(
    input: Tensor,
    alpha: Tensor | None,
    sigma: float,
    num_layers: int,
    features: int,
    generator: torch.Generator | None,
) -> Tensor:
    """sqrt(2 / alpha) sigma xi, [..., D*H] as `input` [..., I]; [L, ..., D*H] of several layers.

    alpha: [L*D, H]. None: 1
    """
    shape = noise_shape(input, num_layers, features)
    if generator is None:  # exporters do not take the word, even with None
        xi = torch.randn(shape, dtype=input.dtype, device=input.device)
    else:
        xi = torch.randn(shape, generator=generator, dtype=input.dtype, device=input.device)
    if alpha is None:
        return xi * (sigma * 2.0**0.5)
    scale = sigma * torch.sqrt(2.0 / alpha)
    by_layer = [num_layers] + [1] * (input.dim() - 1) + [features]
    scale = scale.reshape(by_layer) if num_layers > 1 else scale.reshape(features)
    return (xi * scale).to(input.dtype)


def _autocast_is_on(tensor: Tensor) -> bool:
    if torch.jit.is_scripting():  # whose operators know no device
        return torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()
    return torch.is_autocast_enabled(tensor.device.type)


def add_noise(preactivation: Tensor | None, noise: Tensor) -> Tensor:
    """Their sum. A wrong shape or dtype is refused here, before the sum makes it look right."""
    if preactivation is None:
        return noise
    if preactivation.dtype != noise.dtype and not _autocast_is_on(noise):
        raise RuntimeError(
            f"preactivation must have the input's dtype {noise.dtype}, got {preactivation.dtype}"
        )
    shape = preactivation.shape
    if preactivation.dim() == noise.dim() + 1 and shape[0] == 1:  # [L, ...] of one layer
        shape = shape[1:]
    if shape != noise.shape:
        raise RuntimeError(
            f"preactivation must have the shape {list(noise.shape)}, "
            f"got {list(preactivation.shape)}"
        )
    return preactivation + noise


class UnitInterval(torch.nn.Module):
    """The parametrization that keeps a learnt alpha inside of (0, 1]."""

    def forward(self, raw: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            if isinstance(raw, Proxy):  # of torch.fx, which knows no dtype
                return torch.sigmoid(raw)
        return unit_interval(raw)

    def right_inverse(self, alpha: Tensor) -> Tensor:
        # Tensors that stand for others have no values to look at.
        if type(alpha) in (Tensor, torch.nn.Parameter) and not alpha.is_meta:
            _check_learnable(alpha)
        return torch.logit(alpha)


def _check_learnable(alpha: Tensor) -> None:
    for inside, words in ((alpha < 1, "less than 1"), (alpha > 0, "greater than 0")):
        if not inside.all():
            raise ValueError(
                f"alpha must be {words} where learn_alpha is True: it is learnt as a sigmoid, "
                f"which reaches neither; got {alpha.tolist()} in {alpha.dtype}"
            )


class Leaky(_Module):
    """The part of a module that has a leak; before torch's own class among the bases."""

    if TYPE_CHECKING:  # the other base has these
        hidden_size: int
        nonlinearity: str
        alpha: Tensor | None
        parametrizations: Any

    def _init_leak(
        self,
        alpha: float | Tensor | None,
        tau: float | Tensor | None,
        dt: float | None,
        learn_alpha: bool,
        form: str,
        noise: float,
        noise_in_eval: bool,
        generator: torch.Generator | None,
        shapes: list[tuple[int, ...]],
    ) -> None:
        """To be called once the weights are there."""
        check_form(form)
        value = parse_alpha(alpha, tau, dt, shapes)
        always_one = form == "rate" and bool((value == 1).all())
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(
                f"generator should be a torch.Generator, got: {type(generator).__name__}"
            )
        self.form = form
        self.noise = parse_noise(noise)
        self.noise_in_eval = bool(noise_in_eval)
        self.generator = generator
        weight = next(self.parameters())  # which has the device and dtype that None stands for
        rounded = value.to(weight.dtype.to_real())
        if learn_alpha:
            _check_learnable(rounded)
        elif not (rounded > 0).all():
            raise ValueError(f"alpha must lie in (0, 1], but {alpha} is 0 in {rounded.dtype}")
        self._initial_alpha = value
        value = rounded.to(weight.device, copy=True)
        if learn_alpha:
            self.alpha = torch.nn.Parameter(value)
            parametrize.register_parametrization(self, "alpha", UnitInterval())
        else:
            # None is the plain cell, whose kernels need not be told that nothing leaks.
            self.register_buffer("alpha", None if always_one else value)

    @property
    def learn_alpha(self) -> bool:
        """Whether alpha is learnt. It is not any more once its parametrization is removed."""
        parametrizations = self._modules.get("parametrizations", {})
        return "alpha" in parametrizations and isinstance(
            parametrizations["alpha"][0], UnitInterval
        )

    def reset_parameters(self) -> None:
        """Draws the weights anew as torch does; alpha is again what it was at first."""
        super().reset_parameters()
        if "_initial_alpha" not in vars(self):  # torch's constructor calls this, too
            return
        with torch.no_grad():
            if self.learn_alpha:
                self.parametrizations.alpha.original.copy_(torch.logit(self._initial_alpha))
            elif self.alpha is not None:
                self.alpha.copy_(self._initial_alpha)

    def _current_alpha(self) -> Tensor | None:
        """Alpha of shape (), [H] or [L*D, H], real; None for 1 in the rate form."""
        if torch.jit.is_scripting():  # where torch.nn.utils.parametrize does not work
            if self.learn_alpha:
                alpha = unit_interval(self.parametrizations.alpha.original)
            else:
                alpha = self.alpha  # type: ignore[assignment]
        else:
            alpha = self.alpha  # type: ignore[assignment]
        if alpha is None:
            return None
        if not torch.jit.is_scripting():
            if isinstance(alpha, Proxy):
                return alpha
        # A module that was made complex has complex buffers.
        return torch.real(alpha) if alpha.is_complex() else alpha

    def _makes_noise(self) -> bool:
        return self.noise > 0.0 and (self.training or self.noise_in_eval)

    def _leak_and_noise(
        self, input: Tensor, preactivation: Tensor | None, num_layers: int, directions: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """The operators' `leak` [L*D, H] and `preactivation`, with the noise of this call.

        input: [..., I], padded, or packed rows.
        """
        alpha = self._current_alpha()
        if alpha is not None:
            alpha = alpha.expand(num_layers * directions, self.hidden_size)
        if self._makes_noise():
            features = directions * self.hidden_size
            noise = draw_noise(input, alpha, self.noise, num_layers, features, self.generator)
            preactivation = add_noise(preactivation, noise)
        return alpha, preactivation

    def _leak_to_describe(
        self, input: Tensor, preactivation: Tensor | None, num_layers: int, directions: int
    ) -> dict[str, Any]:
        """The operators' three options, with nothing drawn: for kernel_info, which looks at their
        sizes only.
        """
        leak = self._current_alpha()
        if leak is not None:
            leak = leak.expand(num_layers * directions, self.hidden_size)
        if preactivation is None and self._makes_noise():
            features = directions * self.hidden_size
            preactivation = input.new_empty(noise_shape(input, num_layers, features))
        return {"leak": leak, "leak_form": self.form, "preactivation": preactivation}

    def output(self, state: Tensor) -> Tensor:
        """The output r of states, `hx` or `h_n`: they themselves in the rate form, f of them in the
        current form.

        Args:
            state: `(..., H)`

        Returns: `(..., H)`
        """
        return activate(self.nonlinearity, state) if self.form == "current" else state

    def extra_repr(self) -> str:
        alpha = self.alpha
        if alpha is None:
            text = "1"
        elif alpha.dim() or alpha.is_meta:
            text = f"{list(alpha.shape)}"
        else:
            text = f"{alpha.item():.4g}"
        text = f", alpha={text}, form={self.form}"
        if self.learn_alpha:
            text += ", learn_alpha=True"
        if self.noise:
            text += f", noise={self.noise}"
            if not self.noise_in_eval:
                text += ", noise_in_eval=False"
        return super().extra_repr() + text

    def __reduce_ex__(self, protocol: Any) -> Any:
        # torch refuses to pickle parametrized modules, since it cannot know what parametrizes them.
        if not self.learn_alpha or list(self.parametrizations) != ["alpha"]:
            return super().__reduce_ex__(protocol)
        if hasattr(self, "_init_flat_weights"):
            self._init_flat_weights()
        state = vars(self).copy()
        state["_modules"] = {k: v for k, v in self._modules.items() if k != "parametrizations"}
        raw = self.parametrizations.alpha.original
        # Parameters are to come in the same order, since optimizers know them by it.
        places = list(self._modules)
        training = [part.training for part in self.parametrizations.modules()]
        return _rebuild, (type(self).__bases__[0], state, raw, places, training)


def _rebuild(
    cls: Any,
    state: dict[str, Any],
    raw: torch.nn.Parameter,
    places: Sequence[str] = (),
    training: Sequence[bool] = (),
) -> torch.nn.Module:
    """A module with a learnt alpha, from the parts of its pickle; older ones have three of them."""
    module = cls.__new__(cls)
    module.__setstate__(state)
    # Any value: the true one is that of `raw`, which a sigmoid may have rounded to an end.
    module.register_parameter("alpha", torch.nn.Parameter(torch.full_like(raw.detach().real, 0.5)))
    parametrize.register_parametrization(module, "alpha", UnitInterval())
    module.parametrizations.alpha.original = raw
    for part, flag in zip(module.parametrizations.modules(), training, strict=False):
        part.training = flag
    for name in places:
        module._modules[name] = module._modules.pop(name)
    return module
