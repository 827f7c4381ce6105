"""How far back in time gradients reach: `gradient_by_lag` and its picture."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elman import _received
from elman._checks import as_index, check_optional_tensors, check_tensor
from elman.rnn import RNN
from elman.stream import check_module, check_preactivation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["gradient_by_lag", "plot_gradient_by_lag"]


def gradient_by_lag(
    rnn: RNN,
    input: Tensor,
    hx: Tensor | None = None,
    *,
    grad_output: Tensor | None = None,
    reset: Tensor | None = None,
    preactivation: Tensor | None = None,
    max_lag: int,
) -> Tensor:
    r"""The norm of gradients by layer and by lag, the distance in steps from the output that a
    gradient came from.

    .. math::
        \text{result}[l, j] = \text{mean over rows and over } t = j+1 \ldots T \text{ of }
            \lVert \delta_{t-j} \rVert_2

    where :math:`\delta_{t-j}` is the gradient at layer l's pre-activation at step t-j of output t's
    loss alone. It is what a sliding window, TBPTT(1, max_lag), computes on its way, and costs as
    much as that one backward pass. The module's own truncation plays no part. Its hooks run, and a
    subclass's own forward: what is measured is what that gives to `super().forward`.

    Args:
        rnn: an :class:`elman.RNN` or :class:`elman.LeakyRNN` with one direction
        input: `(T, B, H_in)`, `(B, T, H_in)` with ``batch_first``, `(T, H_in)` unbatched
        hx: `(L, B, H)` or `(L, H)`, the initial states. Default: zeros
        grad_output: the output's shape, the gradient of the loss. Default: ones
        reset: bool, the input's shape without its last dimension, as for `rnn`. Default: none
        preactivation: as for :class:`elman.LeakyRNN`, and only for one. Default: none
        max_lag: how many lags, from 0 on; at least 1

    Returns: `(L, max_lag)`, float64 for float64 and complex128 arguments, else float32; zeros at
    lags j >= T. Never differentiated.

    Raises:
        TypeError: `rnn` is no elman.RNN, an argument no Tensor, `max_lag` no int
        ValueError: `rnn` has two directions, `max_lag` is less than 1, or a dtype is wrong
        RuntimeError: a shape or a device is wrong

    Example::

        >>> norms = elman.gradient_by_lag(rnn, x, max_lag=100)  # [L, 100]
        >>> elman.plot_gradient_by_lag(norms, truncation=20)
    """
    check_module(rnn)
    check_tensor("input", input)
    check_preactivation(rnn, preactivation)
    check_optional_tensors(hx=hx, grad_output=grad_output, reset=reset, preactivation=preactivation)
    max_lag = as_index("max_lag", max_lag)

    def measure(
        input: Tensor, hx: Tensor | None, reset: Tensor | None, leak: dict[str, Any]
    ) -> Tensor:
        return torch.ops.elman.gradient_by_lag(
            input,
            hx,
            rnn._current_weights(),
            *rnn._sizes(),
            rnn.batch_first,
            max_lag=max_lag,
            nonlinearity=rnn.nonlinearity,
            grad_output=grad_output,
            reset=reset,
            **leak,
        )

    if _received.is_plain(rnn, rnn._elman_class):
        return measure(input, hx, reset, rnn._leak_options(input, preactivation))
    results: list[Tensor] = []

    def receive(
        input: Tensor,
        hx: Tensor | None,
        reset: Tensor | None,
        carry_scale: Tensor | None,
        preactivation: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        check_tensor("input", input)
        if carry_scale is not None:
            raise ValueError(
                "carry_scale is not supported by gradient_by_lag, got a tensor of shape "
                f"{list(carry_scale.shape)}"
            )
        leak = rnn._leak_options(input, preactivation)  # the noise is drawn once
        results.append(measure(input, hx, reset, leak))
        # Hooks and the forward of a subclass go on with it.
        return rnn._run_padded(input, hx, rnn._current_weights(), reset, None, leak)

    options = {"hx": hx, "reset": reset, "preactivation": preactivation}
    with torch.no_grad():
        _received.call(rnn, receive, "gradient_by_lag", input, **options)
    return results[0]


def plot_gradient_by_lag(
    norms: Tensor, *, truncation: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws how gradients decay with the lag, one line for each layer. Needs matplotlib.

    Args:
        norms: `(L, lags)`, as `gradient_by_lag` returns it
        truncation: a truncation length k2 to mark, with the relative bias that it is estimated to
            have (Aicher, Foti & Fox 2019). Default: none
        ax: the axes to draw in. Default: those of a new figure

    Returns: the axes

    Raises:
        ImportError: matplotlib is missing, and `ax` was not given
        ValueError: `truncation` is not one of the lags
        TypeError, RuntimeError: `norms` is not what `gradient_by_lag` returns
    """
    check_tensor("norms", norms)
    rate, bias = torch.ops.elman._gradient_decay(norms)
    if truncation is not None and not 1 <= as_index("truncation", truncation) <= len(bias):
        raise ValueError(f"truncation must lie in [1, {len(bias)}], got {truncation}")
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError(
                "plot_gradient_by_lag needs matplotlib: pip install matplotlib"
            ) from error
        ax = pyplot.figure(layout="constrained").add_subplot()
    for layer, line in enumerate(norms.detach().cpu()):
        positive = line.where(line > 0, torch.nan)  # a logarithmic axis has no place for zeros
        ax.plot(range(len(line)), positive, marker=".", label=f"layer {layer}")
    if truncation is not None:
        relative = bias[truncation - 1].item()
        ax.axvline(
            truncation - 0.5,
            color="black",
            linestyle="--",
            label=f"k2 = {truncation}, relative bias {relative:.2g}",
        )
    ax.set_yscale("log")
    ax.set_xlabel("lag, steps")
    ax.set_ylabel("mean norm of the gradient (logarithmic)")
    ax.set_title(f"decay by a factor of {rate:.3g} a step")
    ax.legend()
    return ax
