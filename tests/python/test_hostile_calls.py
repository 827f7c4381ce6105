"""Calls that are typed as they should be, with anything in them: an error or a right result.

The operators' arguments one by one are in tests/cpp/checks/hostile_calls_test.cpp, which also runs
under the sanitizers. Here is what reaches them from Python.
"""

import ctypes

import elman
import numpy
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

T, B, I, H = 5, 3, 4, 6


def make(**options):
    torch.manual_seed(0)
    return elman.RNN(I, H, **options)


def make_arguments(num_layers=2):
    """The arguments of a right call of _rnn_backward, by name."""
    rnn = make(num_layers=num_layers)
    x = torch.randn(T, B, I)
    common = {
        "params": [parameter.detach() for parameter in rnn.parameters()],
        "has_biases": True,
        "num_layers": num_layers,
        "dropout": 0.5,
        "train": True,
        "bidirectional": False,
        "batch_first": False,
        "nonlinearity": "tanh",
        "k1": 0,
        "k2": 0,
        "batch_sizes": None,
        "reset": None,
        "carry_scale": None,
    }
    common["leak"] = torch.rand(num_layers, H) * 0.9 + 0.1
    common["preactivation"] = torch.randn(num_layers, T, B, H)
    output, h_n, states, masks, drives = torch.ops.elman._rnn_forward(
        x, None, masks=None, save_states=True, save_drives=True, **common
    )
    return {
        "grad_output": torch.randn_like(output),
        "grad_h_n": torch.randn_like(h_n),
        "output": output,
        "states": states,
        "saved_masks": masks,
        "drives": drives,
        "input": x,
        "hx": None,
        **common,
        "output_mask": [True] * (4 + 4 * num_layers),
    }


def freed(tensor, size=0):
    tensor = tensor.clone()
    tensor.untyped_storage().resize_(size)
    return tensor


DEFECTS = {
    "another dtype": (torch.Tensor.double, "must have the input's dtype Float and device cpu, got"),
    "another device": (lambda x: x.to("meta"), "must have the input's dtype .* cpu, got .* meta"),
    "sparse": (torch.Tensor.to_sparse, r"must be a dense \(strided\) tensor, got layout Sparse"),
    "one step less": (
        lambda x: x[..., :2, :, :] if x.dim() > 2 else x[:1],
        r"must have (the input's )?shape \[",
    ),
    "one column less": (lambda x: x[..., :-1], r"must have (the input's )?shape \["),
    "one dimension more": (lambda x: x[None], "must have "),
    "nothing in it": (lambda x: x[:0], r"must have (the input's )?shape \["),
    "freed": (freed, "its data is not allocated yet"),
    "half freed": (lambda x: freed(x, 8), "are out of bounds for storage of size 8"),
}


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize(
    "name",
    [
        *("grad_output", "grad_h_n", "output", "states", "saved_masks", "drives"),
        *("leak", "preactivation"),
    ],
)
def test_arguments_of_the_backward_operator(name, defect):
    arguments = make_arguments()
    torch.ops.elman._rnn_backward(**arguments)
    spoil, message = DEFECTS[defect]
    arguments[name] = spoil(arguments[name])
    if arguments[name].shape == make_arguments()[name].shape and defect.startswith("one"):
        arguments[name] = arguments[name][1:]  # grad_h_n has no steps
    with pytest.raises(RuntimeError, match=f"(?s){name}.*{message}|{message}.*{name}"):
        torch.ops.elman._rnn_backward(**arguments)


@pytest.mark.parametrize("count", [0, 1, 10, 13])
def test_an_output_mask_of_another_length(count):
    arguments = make_arguments() | {"output_mask": [True] * count}
    with pytest.raises(RuntimeError, match=f"output_mask must hold 12 bools .* got {count}"):
        torch.ops.elman._rnn_backward(**arguments)
    with pytest.raises(RuntimeError, match="output_mask must hold 12 bools"):
        torch.vmap(
            lambda grad: torch.ops.elman._rnn_backward(**arguments | {"grad_output": grad})[0]
        )(arguments["grad_output"].expand(2, -1, -1, -1))


def test_batch_first_is_not_for_packed_input():
    with pytest.raises(RuntimeError, match="batch_first is not defined for packed input"):
        torch.ops.elman._rnn_forward(
            *(torch.zeros(6, I), None, list(make().parameters()), True, 1, 0.0, False, False, True),
            **{"nonlinearity": "tanh", "k1": 0, "k2": 0, "batch_sizes": torch.tensor([3, 2, 1])},
            **{
                "reset": None,
                "carry_scale": None,
                "masks": None,
                "save_states": False,
                "save_drives": False,
            },
        )


@pytest.mark.parametrize(
    "pack", [torch.Tensor.bfloat16, lambda x: x[..., :1], torch.Tensor.flatten]
)
def test_hooks_that_change_what_is_saved(pack):
    rnn = make(num_layers=2)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output, _ = rnn(torch.randn(T, B, I))
    with pytest.raises((RuntimeError, ValueError)):
        output.sum().backward()


def test_hooks_that_change_what_a_gradient_saves():
    rnn = make()
    output, _ = rnn(torch.randn(T, B, I))
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.bfloat16, lambda x: x):
        gradient = torch.autograd.grad(output.pow(2).sum(), rnn.weight_hh_l0, create_graph=True)[0]
    with pytest.raises((RuntimeError, ValueError)):
        gradient.sum().backward()


def test_nodes_called_by_hand():
    rnn = make()
    x = torch.randn(T, B, I)
    output, _ = rnn(x)
    stream_output = elman.Stream(rnn, T, T)(x)
    with pytest.raises(RuntimeError, match="grad_output must have the input's shape"):
        output.grad_fn(torch.ones(T, 1, H), None)
    with pytest.raises(RuntimeError, match=r"grad_output must have shape \[5, 3, 6\], got \[5, 1,"):
        stream_output.grad_fn(torch.ones(T, 1, H))
    with pytest.raises(RuntimeError, match="grad_output must have the input's dtype Float"):
        stream_output.grad_fn(torch.ones(T, B, H, dtype=torch.float64))


@pytest.mark.parametrize("num_layers", [2**61, 2**62, 2**62 + 1, 2**63 - 1])
def test_a_number_of_layers_that_overflows(num_layers):
    arguments = (torch.zeros(T, B, I), None, list(make().parameters()), True, num_layers)
    with pytest.raises(RuntimeError, match="params must hold"):
        torch.ops.elman.rnn(*arguments, 0.0, False, False, False)


def test_batch_sizes_whose_sum_overflows():
    batch_sizes = torch.tensor([2**62, 2**62, 2**62, 2**62, 6])
    with pytest.raises(RuntimeError, match=r"batch_sizes must sum to input.size\(0\)"):
        torch.ops.elman.rnn.data(
            *(torch.randn(6, I), batch_sizes, None, list(make().parameters())),
            *(True, 1, 0.0, False, False),
        )


def test_batch_sizes_that_are_edited_through_numpy():
    rnn = make(num_layers=2)
    x = torch.randn(9, I)

    def gradients(edit):
        batch_sizes = torch.tensor([3, 2, 2, 1, 1])
        output, _ = rnn(PackedSequence(x, batch_sizes))
        if edit:
            batch_sizes.numpy()[:] = [2, 2, 2, 2, 1]
        return torch.autograd.grad(output.data.pow(2).sum(), list(rnn.parameters()))

    for actual, expected in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(actual, expected)


def test_freed_storages():
    rnn = make()
    x = torch.randn(T, B, I)
    for run in (rnn, elman.Stream(rnn, T, T)):
        with pytest.raises(RuntimeError, match=r"(?s)its data is not allocated yet.*input needs"):
            run(freed(x))
    # Freed after the forward pass, as sharded training frees weights.
    output, _ = rnn(x)
    size = rnn.weight_hh_l0.untyped_storage().nbytes()
    kept = rnn.weight_hh_l0.detach().clone()
    rnn.weight_hh_l0.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=r"(?s)its data is not allocated yet.*weight_hh_l0"):
        output.sum().backward(retain_graph=True)
    rnn.weight_hh_l0.untyped_storage().resize_(size)
    with torch.no_grad():
        rnn.weight_hh_l0.data.copy_(kept)
    output.sum().backward()
    assert rnn.weight_hh_l0.grad.isfinite().all()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError, match="not allocated"):
        rnn(freed(x))


def test_memory_that_is_not_aligned():
    rnn = make()
    x = torch.randn(T, B, I)
    buffer = bytearray(b"\0" + x.numpy().tobytes())
    odd = torch.frombuffer(buffer, dtype=torch.float32, offset=1).view(T, B, I)
    assert odd.data_ptr() % 4 == 1
    assert torch.equal(rnn(odd)[0], rnn(x)[0])


def test_bytes_of_a_bool():
    reset = torch.rand(T, B) < 0.5
    other = torch.from_numpy((reset.numpy() * numpy.uint8(6)).view(numpy.bool_))
    assert ctypes.string_at(other.data_ptr(), T * B).count(6) == reset.sum()
    rnn = make(num_layers=2)
    x = torch.randn(T, B, I)
    results = [rnn(x, reset=flags)[0] for flags in (reset, other)]
    assert torch.equal(*results)
    gradients = [torch.autograd.grad(y.sum(), list(rnn.parameters())) for y in results]
    assert all(map(torch.equal, *gradients))


def test_vmap_over_no_slices():
    rnn = make(num_layers=2)
    parameters = dict(rnn.named_parameters())

    def call(parameters, x):
        return torch.func.functional_call(rnn, parameters, (x,))

    for batched in (False, True):
        x = torch.zeros(0, T, *[B] * batched, I)
        output, h_n = torch.vmap(call, in_dims=(None, 0))(parameters, x)
        assert output.shape == (0, T, *[B] * batched, H)
        assert h_n.shape == (0, 2, *[B] * batched, H)
        none = {name: p.detach().expand(0, *p.shape) for name, p in parameters.items()}
        output, h_n = torch.vmap(call)(none, x)
        assert output.shape == (0, T, *[B] * batched, H)
    x = torch.zeros(0, T, B, I)
    torch.vmap(call, in_dims=(None, 0))(parameters, x)[0].sum().backward()
    assert all(not p.grad.any() for p in rnn.parameters())

    def loss(parameters, x):
        return call(parameters, x)[0].sum()

    frozen = {name: p.detach() for name, p in parameters.items()}
    gradients = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(frozen, x)
    assert {n: g.shape for n, g in gradients.items()} == {
        n: (0, *p.shape) for n, p in frozen.items()
    }
    cell = torch.vmap(elman.RNNCell(I, H))(torch.zeros(0, B, I))
    assert cell.shape == (0, B, H)
