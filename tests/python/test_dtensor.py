"""DTensors: two processes over gloo compute what one does with the whole batch."""

import elman
import pytest
import torch
import torch.multiprocessing
from samples import assert_close
from torch import distributed
from torch.distributed import tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_module, distribute_tensor
from torch.nn.utils.rnn import PackedSequence

DTYPE = torch.float64
PROCESSES = 2


def in_a_group(rank, checks, store):
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(store, PROCESSES),
        rank=rank,
        world_size=PROCESSES,
    )
    try:
        for check in checks:
            torch.manual_seed(0)
            check()
        distributed.barrier()
    finally:
        distributed.destroy_process_group()


def whole(value):
    return value.full_tensor() if isinstance(value, tensor.DTensor) else value


def results_and_gradients(module, x, hx=None, **options):
    """Of an RNN or a cell: the results, and the gradients of all leaves."""
    results = module(x, hx, **options)
    results = results if isinstance(results, tuple) else (results,)
    loss = sum(result.square().sum() for result in results)
    leaves = [x, *module.parameters(), *([] if hx is None else [hx])]
    gradients = torch.autograd.grad(loss, leaves)
    with torch.no_grad():  # another operator than with a gradient to record
        again = module(x, hx, **options)
        again = again if isinstance(again, tuple) else (again,)
    return [whole(value) for value in (*results, *again, *gradients)], results, gradients


def assert_as_alone(mesh, module, x, batch_dim, sharded, hx=None, **options):
    """`options`: tensors of the input's shape without features, or of one number a step."""
    expected, _, _ = results_and_gradients(module, x, hx, **options)
    batch = Shard(batch_dim) if sharded else Replicate()
    state_batch = Shard(x.dim() - 2) if sharded else Replicate()
    rest = [Replicate()] * (mesh.ndim - 1)

    def spread(value, placement):
        leaf = distribute_tensor(value.detach(), mesh, [placement, *rest])
        return leaf.requires_grad_(value.requires_grad)

    distribute_module(module, mesh)
    options = {
        name: spread(value, batch if value.dim() == 2 and x.dim() == 3 else Replicate())
        for name, value in options.items()
    }
    hx = None if hx is None else spread(hx, state_batch)
    actual, results, gradients = results_and_gradients(module, spread(x, batch), hx, **options)
    assert_close(actual, expected)
    assert list(results[0].placements) == [batch, *rest]
    assert list(gradients[0].placements) == [batch, *rest]
    kind = "is_partial" if sharded else "is_replicate"
    count = len(list(module.parameters()))
    assert all(getattr(g.placements[0], kind)() for g in gradients[1 : 1 + count])


def check_rnn(sharded, rows, mesh_shape=(PROCESSES,), given=True, **arguments):
    mesh = init_device_mesh("cpu", mesh_shape)
    rnn = elman.RNN(4, 6, dtype=DTYPE, **arguments)
    batch_dim = 0 if rnn.batch_first else 1
    x = torch.randn(7, rows, 4, dtype=DTYPE)
    x = (x.transpose(0, 1) if rnn.batch_first else x).requires_grad_()
    options = {}
    if given:
        hx = torch.randn(rnn(x)[1].shape, dtype=DTYPE).requires_grad_()
        options = {"hx": hx, "reset": torch.rand(x.shape[:2]) < 0.2}
        if not rnn.bidirectional:
            options["carry_scale"] = torch.rand(7, dtype=DTYPE)
    assert_as_alone(mesh, rnn, x, batch_dim, sharded, **options)


def check_all_rnns():
    for sharded in (False, True):
        check_rnn(sharded, 4, num_layers=2)
        check_rnn(sharded, 5, num_layers=3, truncation=(2, 4), given=False)
        check_rnn(sharded, 3, num_layers=2, bidirectional=True, batch_first=True, truncation=2)
    check_rnn(True, 4, mesh_shape=(PROCESSES, 1), bias=False, nonlinearity="relu")


def check_cell():
    for sharded in (False, True):
        mesh = init_device_mesh("cpu", (PROCESSES,))
        cell = elman.RNNCell(4, 6, dtype=DTYPE)
        x, hx = (torch.randn(5, n, dtype=DTYPE).requires_grad_() for n in (4, 6))
        assert_as_alone(mesh, cell, x, 0, sharded, hx)


def check_unbatched():
    mesh = init_device_mesh("cpu", (PROCESSES,))
    rnn = elman.RNN(4, 6, 2, dtype=DTYPE)
    x = torch.randn(7, 4, dtype=DTYPE, requires_grad=True)
    assert_as_alone(mesh, rnn, x, 0, sharded=False)


def check_dropout():
    """The masks of the forward pass are those of the backward pass."""
    mesh = init_device_mesh("cpu", (PROCESSES,))
    rnn = elman.RNN(4, 6, 3, dropout=0.5, dtype=DTYPE)
    x = torch.randn(7, 4, 4, dtype=DTYPE)
    # Each process draws the masks of its own rows.
    rank = distributed.get_rank()
    torch.manual_seed(rank)
    mine = x[:, 2 * rank : 2 * rank + 2]
    expected = torch.autograd.grad(rnn(mine)[0].square().sum(), list(rnn.parameters()))
    distribute_module(rnn, mesh)
    torch.manual_seed(rank)
    output = rnn(distribute_tensor(x, mesh, [Shard(1)]))[0]
    gradients = torch.autograd.grad(output.square().sum(), list(rnn.parameters()))
    assert_close([gradient.to_local() for gradient in gradients], expected)


def check_refusals():
    mesh = init_device_mesh("cpu", (PROCESSES,))
    x = distribute_tensor(torch.randn(6, 4, 4), mesh, [Shard(1)])
    rnn = distribute_module(elman.RNN(4, 6, 2), mesh)
    with pytest.raises(RuntimeError, match=r"input: .* got (S\(0\)|Shard\(dim=0\))"):
        rnn(x.redistribute(mesh, [Shard(0)]))
    with pytest.raises(RuntimeError, match=r"mixed torch.Tensor and DTensor.*hx is a"):
        rnn(x, torch.zeros(2, 4, 6))
    with pytest.raises(RuntimeError, match=r"batch_sizes: packed input is not supported"):
        data = distribute_tensor(torch.randn(5, 4), mesh, [Replicate()])
        hx = distribute_tensor(torch.zeros(2, 3, 6), mesh, [Replicate()])
        rnn(PackedSequence(data, torch.tensor([3, 2])), hx)
    for name, record in (("weight_hh_l1", True), ("bias_ih_l0", True), ("weight_ih_l0", False)):
        rnn = distribute_module(elman.RNN(4, 6, 2), mesh)
        weight = distribute_tensor(getattr(rnn, name).full_tensor().detach(), mesh, [Shard(0)])
        setattr(rnn, name, torch.nn.Parameter(weight))
        with (
            torch.set_grad_enabled(record),
            pytest.raises(RuntimeError, match=f"{name}: .*need replicated parameters"),
        ):
            rnn(x)


def test_two_processes(tmp_path):
    checks = (check_all_rnns, check_cell, check_unbatched, check_dropout, check_refusals)
    store = str(tmp_path / "store")
    torch.multiprocessing.spawn(in_a_group, (checks, store), PROCESSES)
