"""What `elman.Stepper` refuses: modules of which it would do a part only, damaged files, and arrays
that it cannot read or write."""

import elman
import numpy
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn.utils import prune


def test_wrong_modules_and_files(tmp_path):
    with pytest.raises(TypeError, match=r"module must be an elman\.RNN, .* got LSTM"):
        elman.Stepper(torch.nn.LSTM(3, 4))
    with pytest.raises(ValueError, match="one direction; got bidirectional = True"):
        elman.Stepper(elman.RNN(3, 4, bidirectional=True))
    with pytest.raises(TypeError, match=r"weight_ih_l0 must be of a real .* got torch\.complex64"):
        elman.Stepper(elman.RNN(3, 4, dtype=torch.complex64))
    with pytest.raises(ValueError, match="rows must be between 1 and 16777216, got 0"):
        elman.Stepper(elman.RNN(3, 4), rows=0)
    with pytest.raises(ValueError, match="rows must be between 1 and 16777216, got 1000000000000"):
        elman.Stepper(elman.RNN(3, 4), rows=10**30)
    with pytest.raises(TypeError, match="rows must be an int, got float"):
        elman.Stepper(elman.RNN(3, 4), rows=1.5)
    path = tmp_path / "cut.safetensors"
    elman.save_stepper(elman.RNN(3, 4), path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"Cannot load a stepper from '.*cut.*': it is cut short"):
        elman.Stepper.load(path)
    with pytest.raises(FileNotFoundError):
        elman.Stepper.load(tmp_path / "nowhere")


def test_wrong_arrays():
    stepper, batch = elman.Stepper(elman.RNN(3, 4)), elman.Stepper(elman.RNN(3, 4), rows=2)
    for wrong in (
        torch.zeros(4),
        torch.zeros(2, 3),
        numpy.zeros((), "float32"),
        torch.zeros(1, 1, 3),
    ):
        with pytest.raises(ValueError, match=r"x: expected shape \(1, 3\) or \(3\), got"):
            stepper.step(wrong)
    with pytest.raises(ValueError, match=r"x: expected shape \(2, 3\), got \(3,\)"):
        batch.step(torch.zeros(3))
    with pytest.raises(ValueError, match=r"x: expected shape \(steps, 2, 3\), got \(5, 3\)"):
        batch.process(torch.zeros(5, 3))
    with pytest.raises(TypeError, match=r"x: expected dtype torch\.float32, got torch\.float64"):
        stepper.step(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(TypeError, match="x: expected dtype float32, got float64"):
        stepper.step(numpy.zeros(3))
    with pytest.raises(ValueError, match="x: expected a tensor on the CPU, got meta"):
        stepper.step(torch.zeros(3, device="meta"))
    with pytest.raises(ValueError, match=r"out: expected shape \(4,\), got \(3,\)"):
        stepper.step(torch.zeros(3), out=torch.zeros(3))
    with pytest.raises(TypeError, match="out: expected dtype"):
        stepper.step(torch.zeros(3), out=torch.zeros(4, dtype=torch.float64))
    with pytest.raises(ValueError, match="out: expected a contiguous tensor"):
        stepper.step(torch.zeros(3), out=torch.zeros(8)[::2])
    frozen = numpy.zeros(4, "float32")
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a contiguous, writeable array"):
        stepper.step(numpy.zeros(3, "float32"), out=frozen)
    for call in (stepper.step, stepper.process):
        with pytest.raises(TypeError, match="x should be a Tensor or a NumPy array, got: list"):
            call([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="out should be a Tensor or a NumPy array, got: list"):
        stepper.step(torch.zeros(3), out=[0.0] * 4)
    with pytest.raises(TypeError, match="state should be a Tensor or a NumPy array, got: float"):
        stepper.state = 0.0
    with pytest.raises(IndexError, match="row must be between 0 and 1, got 2"):
        batch.reset(2)
    with pytest.raises(TypeError, match="row must be an int or None, got float"):
        batch.reset(0.5)
    with pytest.raises(ValueError, match=r"state: expected shape \(1, 1, 4\), got \(4,\)"):
        stepper.state = torch.zeros(4)


class Doubled(elman.RNN):
    def forward(self, *args, **kwargs):
        output, h_n = super().forward(*args, **kwargs)
        return 2 * output, h_n


class Foreign(torch.nn.Module):
    """It has what a leaky network has, but is none."""

    alpha, form = 0.5, "rate"


def test_modules_of_which_it_would_do_a_part_only():
    with pytest.raises(TypeError, match=r"elman's RNN does, but Doubled has a forward of its own"):
        elman.Stepper(Doubled(3, 5))
    with pytest.raises(TypeError, match=r"module must be an elman\.RNN, .* got Foreign"):
        elman.Stepper(Foreign())
    with pytest.raises(TypeError, match=r"module must be an elman\.RNN, .* got RecursiveScript"):
        elman.Stepper(torch.jit.script(elman.LeakyRNN(3, 5, alpha=0.5)))
    hooked = elman.Network(3, 5, 2)
    handle = hooked.register_forward_hook(lambda module, given, made: (2 * made[0], made[1]))
    with pytest.raises(ValueError, match="module: a stepper calls no forward hooks"):
        elman.Stepper(hooked)
    handle.remove()
    hooked.out.register_forward_pre_hook(lambda module, given: (2 * given[0],))
    with pytest.raises(ValueError, match=r"module\.out: a stepper calls no forward pre-hooks"):
        elman.Stepper(hooked)
    pruned = elman.RNN(3, 5)
    prune.l1_unstructured(pruned, "weight_hh_l0", 0.5)  # a hook that makes the weight
    x = torch.randn(4, 3)
    torch.testing.assert_close(elman.Stepper(pruned).process(x), pruned(x)[0].detach())


def test_tensors_whose_memory_holds_something_else():
    rnn = elman.RNN(3, 5)
    x = torch.randn(4, 3)
    negative = torch._neg_view(-x)
    assert negative.is_neg()
    expected, h_n = elman.Stepper(rnn).process(x), torch.randn(1, 1, 5)
    assert torch.equal(elman.Stepper(rnn).process(negative), expected)
    stepper = elman.Stepper(rnn)
    stepper.state = torch._neg_view(-h_n)
    assert torch.equal(stepper.state, h_n)
    with pytest.raises(ValueError, match="out: expected a tensor without the negative bit"):
        stepper.process(x, out=torch._neg_view(torch.zeros(4, 5)))
    rnn.weight_hh_l0 = torch.nn.Parameter(torch._neg_view(-rnn.weight_hh_l0.detach()))
    torch.testing.assert_close(elman.Stepper(rnn).process(x), expected)


def test_tensors_without_memory():
    stepper = elman.Stepper(elman.RNN(3, 5))
    freed = torch.randn(3)
    freed.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="x: expected a tensor with memory of its own"):
        stepper.step(freed)
    with pytest.raises(ValueError, match="expected a tensor with memory of its own"):
        torch.func.functionalize(stepper.step)(torch.randn(3))
    with FakeTensorMode() as mode:
        with pytest.raises(ValueError, match="state: expected a tensor with memory of its own"):
            _ = stepper.state
        with pytest.raises(ValueError, match="expected a tensor with memory of its own"):
            stepper.process(mode.from_tensor(torch.randn(4, 3)))
    freed = elman.RNN(3, 5)
    freed.weight_hh_l0.data.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="weight_hh_l0: expected a tensor with memory of its own"):
        elman.Stepper(freed)


def test_autograd_notices_what_out_has_overwritten():
    stepper, out = elman.Stepper(elman.RNN(3, 5)), torch.zeros(5)
    loss = (torch.ones(5, requires_grad=True) * out).sum()
    stepper.step(torch.randn(3), out=out)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with torch.inference_mode():
        stepper.step(torch.randn(3), out=torch.zeros(5))
