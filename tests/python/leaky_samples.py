"""Samples of calls with a leak: `samples.Sample` with `leak`, `leak_form` and `preactivation`."""

import dataclasses

import samples
import torch


@dataclasses.dataclass(frozen=True)
class Case(samples.Case):
    """What to make a `Sample` of."""

    form: str = "rate"
    leak: str | None = "units"  # "units": alpha of each unit; "scalar": one for all; None: no leak
    smallest: float = 0.05  # each alpha lies between it and 1
    preactivation: bool = False


@dataclasses.dataclass
class Sample(samples.Sample):
    leak: torch.Tensor | None = None  # [L*D, H]
    preactivation: torch.Tensor | None = None  # [T, B, D*H] in the caller's layout; [L, ...] of L

    def leaves(self):
        """Everything that can be differentiated: input, hx, params, leak, preactivation."""
        extra = [x for x in (self.leak, self.preactivation) if x is not None]
        return super().leaves() + extra

    def replace(self, leaves):
        leaves = list(leaves)
        new = {}
        for name in ("preactivation", "leak"):
            if getattr(self, name) is not None:
                new[name] = leaves.pop()
        return dataclasses.replace(super().replace(leaves), **new)

    def args(self, leaves=None):
        sample = self if leaves is None else self.replace(leaves)
        return samples.Sample.args(sample, samples.Sample.leaves(sample))

    def kwargs(self, leaves=None):
        sample = self if leaves is None else self.replace(leaves)
        options = {
            "leak": sample.leak,
            "leak_form": self.case.form,
            "preactivation": sample.preactivation,
        }
        return super().kwargs() | options

    def run(self, leaves=None):
        return self.op(*self.args(leaves), **self.kwargs(leaves))


def make(case):
    """The same `case` makes the same `Sample` each time; its leaves require gradients."""
    device = torch.get_default_device()
    plain = samples.make(case)
    generator = torch.Generator().manual_seed(case.seed + 1)
    cells = case.num_layers * case.directions
    leak = preactivation = None
    if case.leak is not None:
        shape = (cells, case.hidden_size) if case.leak == "units" else (1, 1)
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        leak = (case.smallest + (1 - case.smallest) * drawn).to(device, case.dtype)
        leak = leak.expand(cells, -1 if case.leak == "units" else case.hidden_size).clone()
        leak.requires_grad_()
    if case.preactivation:
        layers = (case.num_layers,) if case.num_layers > 1 else ()
        shape = (*layers, *plain.input.shape[:-1], case.directions * case.hidden_size)
        preactivation = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
        preactivation = preactivation.to(device, case.dtype).requires_grad_()
    fields = {field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}
    return Sample(**fields, leak=leak, preactivation=preactivation)


#: A few cases that together touch every argument: what opcheck and the compilers are run on.
REPRESENTATIVE = [
    Case(),
    Case(form="current", hx=False, bias=False),
    Case(leak=None, preactivation=True, num_layers=2),
    Case(batched=False, nonlinearity="sigmoid", form="current", preactivation=True),
    Case(batch_first=True, nonlinearity="relu", num_layers=2, preactivation=True),
    Case(steps=7, num_layers=2, k1=2, k2=5, form="current"),
    Case(steps=7, num_layers=2, bidirectional=True, k1=3, k2=3, preactivation=True),
    Case(reset=True, k1=2, k2=3, form="current"),
    Case(reset=True, bidirectional=True, batch_first=True),
    Case(carry_scale="rows", reset=True, k1=1, k2=4, batch_first=True, preactivation=True),
    Case(lengths=(6, 4, 4, 2), num_layers=2, k1=2, k2=4, form="current", preactivation=True),
    Case(lengths=(5, 3, 3), bidirectional=True, preactivation=True),
]
