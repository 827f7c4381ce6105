"""torch.jit.script and trace of the modules' subclasses, and of modules with another forward."""

import types

import elman
import pytest
import torch
from samples import assert_close
from scripted import Parent, save_and_load


class Named(elman.RNN):
    """A subclass without a forward of its own, with a method for scripts."""

    @torch.jit.export
    def width(self) -> int:
        return self.hidden_size


class Summed(elman.RNN):
    """A subclass whose forward TorchScript can compile."""

    def forward(
        self, input: torch.Tensor, hx: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return input + self.weight_hh_l0.sum(), torch.zeros(1)


class Residual(elman.RNN):
    """One whose forward it cannot."""

    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output + input, h_n


class Doubled(elman.Network):
    def forward(self, input, hx=None, *, steps=None):
        y, h_n = super().forward(input, hx, steps=steps)
        return 2 * y, h_n


@pytest.mark.parametrize("cls", [Named, Summed])
def test_subclasses(cls):
    x, rnn = torch.randn(5, 3, 4), cls(4, 6)
    assert_close(torch.jit.script(Parent(rnn))(x), rnn(x)[0])
    bare = save_and_load(torch.jit.script(rnn))
    assert_close(bare(x), rnn(x))
    if cls is Named:
        assert bare.width() == torch.jit.script(Parent(rnn)).child.width() == 6


@pytest.mark.parametrize("make_child", [lambda: Residual(4, 4), lambda: Doubled(4, 6, 2)])
def test_subclasses_that_torchscript_cannot_compile(make_child):
    model = Parent(make_child())
    child, x = model.child, torch.randn(5, 3, 4)
    expected = model(x)
    for module in (model, child):
        with pytest.raises(RuntimeError, match=rf"{type(child).__name__}\.forward calls super"):
            torch.jit.script(module)
    assert model.child is child
    assert_close(model(x), expected)


def test_keyword_only_arguments_of_a_subclass_are_refused_by_name():
    class Keyed(elman.RNN):
        def forward(self, input, *, scale: float = 1.0):
            return scale * input

    with pytest.raises(RuntimeError, match=r"Keyed\.forward has keyword-only arguments"):
        torch.jit.script(Keyed(4, 6))


def test_a_replaced_forward_is_compiled():
    rnn = elman.RNN(4, 6)
    rnn.forward = types.MethodType(Summed.forward, rnn)
    x = torch.randn(5, 3, 4)
    assert_close(torch.jit.script(Parent(rnn))(x), rnn(x)[0])


@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_tracing_compiles_nothing():
    rnn = elman.RNN(4, 6)
    rnn.register_forward_hook(lambda module, args, output: (2 * output[0], output[1]))
    model, x = Parent(rnn), torch.randn(5, 3, 4)
    assert_close(torch.jit.trace(model, x)(x), model(x))
    assert not hasattr(rnn, "forward__0")
