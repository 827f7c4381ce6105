"""elman.LeakyRNN and LeakyRNNCell: their alpha, and what every module of torch can do."""

import copy
import io
import pickle

import elman
import pytest
import torch
from oracle import ACTIVATIONS
from samples import assert_close
from torch.nn.utils.rnn import pack_sequence

DTYPE = torch.float64
FORMS = ["rate", "current"]


def leaky(*args, **options):
    options = {"alpha": 0.3, "dtype": DTYPE} | options
    return elman.LeakyRNN(4, 6, *args, **options)


def operator(rnn, x, leak, hx=None, **options):
    """The call that `rnn(x)` is to make."""
    weights = [getattr(rnn, name) for name in rnn._flat_weights_names]
    sizes = (rnn.bias, rnn.num_layers, 0.0, False, rnn.bidirectional, rnn.batch_first)
    options = {"nonlinearity": rnn.nonlinearity, "leak_form": rnn.form} | options
    return torch.ops.elman.rnn(x, hx, weights, *sizes, leak=leak, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "alpha", [0.3, torch.linspace(0.1, 0.9, 6), torch.rand(4, 6) * 0.8 + 0.1], ids=["1", "H", "LH"]
)
@pytest.mark.parametrize("learn_alpha", [False, True])
def test_shapes_of_alpha(form, alpha, learn_alpha):
    rnn = leaky(2, bidirectional=True, alpha=alpha, form=form, learn_alpha=learn_alpha)
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    leak = torch.as_tensor(alpha, dtype=DTYPE).expand(4, 6)
    assert_close(rnn.alpha.detach().expand(4, 6), leak)
    assert_close(list(rnn(x)), list(operator(rnn, x, leak)))


def test_tau_and_dt():
    tau = torch.tensor([100.0, 50.0, 20.0, 20.0, 40.0, 80.0])
    assert leaky(alpha=None, tau=100.0, dt=20).alpha.item() == 0.2
    assert_close(leaky(alpha=None, tau=tau, dt=20).alpha, 20 / tau.double())


def test_the_weights_are_those_of_a_plain_rnn_with_the_same_seed():
    torch.manual_seed(1)
    expected = elman.RNN(4, 6, 2).state_dict()
    torch.manual_seed(1)
    state = elman.LeakyRNN(4, 6, 2, alpha=0.2).state_dict()
    assert state.pop("alpha") == torch.tensor(0.2)
    assert all(state[name].equal(value) for name, value in expected.items())
    assert list(state) == list(expected)


def test_alpha_of_one_is_the_plain_module():
    rnn, plain = leaky(alpha=1.0), elman.RNN(4, 6, dtype=DTYPE)
    plain.load_state_dict(rnn.state_dict())  # the same keys
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    assert rnn.alpha is None
    assert all(a.equal(b) for a, b in zip(rnn(x), plain(x), strict=True))
    assert elman.kernel_info(rnn, x) == elman.kernel_info(plain, x)
    assert leaky(alpha=1.0, form="current").alpha is not None  # where the state is another one


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("nonlinearity", ACTIVATIONS)
def test_a_tensor_of_ones_gives_the_plain_cells_bits(nonlinearity, num_layers):
    """On the CPU, whose kernels look at its values: they are the plain cell's."""
    rnn = elman.RNN(4, 6, num_layers, nonlinearity=nonlinearity, dtype=DTYPE)
    x, hx = torch.randn(5, 3, 4, dtype=DTYPE), torch.randn(num_layers, 3, 6, dtype=DTYPE)

    def run(leak):
        weights = [getattr(rnn, name) for name in rnn._flat_weights_names]
        options = (True, num_layers, 0.0, False, False, False)
        call = torch.ops.elman.rnn(x, hx, weights, *options, nonlinearity=nonlinearity, leak=leak)
        return *call, *torch.autograd.grad(call[0].square().sum() + call[1].sum(), weights)

    for actual, expected in zip(
        run(torch.ones(num_layers, 6, dtype=DTYPE)), run(None), strict=True
    ):
        assert actual.equal(expected)


@pytest.mark.parametrize("form", FORMS)
def test_alpha_is_learnt_inside_of_the_interval(form):
    rnn = leaky(alpha=torch.full((6,), 0.5), learn_alpha=True, form=form)
    x, target = torch.randn(20, 8, 4, dtype=DTYPE), torch.randn(20, 8, 6, dtype=DTYPE)
    optimizer = torch.optim.SGD([rnn.parametrizations.alpha.original], lr=1e3)
    for _ in range(20):
        optimizer.zero_grad()
        (rnn(x)[0] - target).square().mean().backward()
        assert rnn.parametrizations.alpha.original.grad.abs().max() > 0
        optimizer.step()
    alpha = rnn.alpha.detach()
    assert (alpha > 0).all() and (alpha <= 1).all() and (alpha != 0.5).all()
    assert list(rnn.state_dict())[-1] == "parametrizations.alpha.original"


def test_the_users_tensor_is_not_shared():
    alpha = torch.full((6,), 0.3, dtype=DTYPE)
    rnn = leaky(alpha=alpha)
    alpha.fill_(0.9)
    assert_close(rnn.alpha, torch.full((6,), 0.3, dtype=DTYPE))


def test_reset_parameters_begins_anew():
    for learn_alpha in (False, True):
        rnn = leaky(alpha=0.3, learn_alpha=learn_alpha)
        before = rnn.weight_hh_l0.detach().clone()
        with torch.no_grad():
            (rnn.parametrizations.alpha.original if learn_alpha else rnn.alpha).fill_(0.9)
        rnn.reset_parameters()
        assert_close(rnn.alpha.detach(), torch.tensor(0.3, dtype=DTYPE))
        assert not rnn.weight_hh_l0.equal(before)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("learn_alpha", [False, True])
def test_copies_and_pickles(form, learn_alpha):
    rnn = leaky(2, alpha=torch.rand(6) * 0.8 + 0.1, learn_alpha=learn_alpha, form=form)
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    buffer = io.BytesIO()
    torch.save(rnn, buffer)
    buffer.seek(0)
    loaded = leaky(2, alpha=0.5 * torch.ones(6), learn_alpha=learn_alpha, form=form)
    loaded.load_state_dict(rnn.state_dict())
    copies = [copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), loaded]
    copies.append(torch.load(buffer, weights_only=False))
    for other in copies:
        assert isinstance(other, elman.LeakyRNN)
        assert repr(other) == repr(rnn)
        assert all(a.equal(b) for a, b in zip(other(x), rnn(x), strict=True))
        other(x)[0].sum().backward()
        assert all(p.grad is not None for p in other.parameters())
        assert all(p.grad is None for p in rnn.parameters())


def test_pickle_of_other_parametrizations_is_refused_as_torch_does():
    rnn = leaky(learn_alpha=True)
    torch.nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    with pytest.raises(RuntimeError, match="parametrized modules is only supported through"):
        pickle.dumps(rnn)


def test_repr():
    assert repr(leaky(alpha=0.25)) == "LeakyRNN(4, 6, alpha=0.25, form=rate)"
    text = repr(leaky(2, "relu", alpha=torch.full((6,), 0.5), form="current", noise=0.1))
    assert text == (
        "LeakyRNN(4, 6, num_layers=2, nonlinearity=relu, alpha=[6], form=current, noise=0.1)"
    )
    cell = elman.LeakyRNNCell(4, 6, alpha=1, noise=0.5, noise_in_eval=False)
    assert repr(cell) == ("LeakyRNNCell(4, 6, alpha=1, form=rate, noise=0.5, noise_in_eval=False)")


@pytest.mark.parametrize("learn_alpha", [False, True])
def test_to(learn_alpha):
    rnn = elman.LeakyRNN(4, 6, alpha=0.25, learn_alpha=learn_alpha).to(torch.bfloat16)
    assert rnn.alpha.dtype == torch.bfloat16
    assert rnn(torch.randn(5, 3, 4, dtype=torch.bfloat16))[0].dtype == torch.bfloat16
    assert rnn.to("meta")(torch.empty(5, 3, 4, device="meta", dtype=torch.bfloat16))[0].is_meta


@pytest.mark.parametrize("form", FORMS)
def test_complex_numbers_leak_by_a_real_alpha(form):
    for rnn in (
        elman.LeakyRNN(4, 6, alpha=0.25, form=form, dtype=torch.complex128),
        elman.LeakyRNN(4, 6, alpha=0.25, form=form).to(torch.complex128),
    ):
        x = torch.randn(5, 3, 4, dtype=torch.complex128)
        leak = torch.full((1, 6), 0.25, dtype=torch.float64)
        assert_close(list(rnn(x)), list(operator(rnn, x, leak)))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_input(form, enforce_sorted):
    rnn = leaky(2, form=form, truncation=(2, 3))
    lengths = (5, 4, 2) if enforce_sorted else (4, 5, 2)
    sequences = [torch.randn(n, 4, dtype=DTYPE) for n in lengths]
    injected = [torch.randn(2, n, 6, dtype=DTYPE) for n in lengths]
    packed = pack_sequence(sequences, enforce_sorted=enforce_sorted)
    rows = pack_sequence([p.transpose(0, 1) for p in injected], enforce_sorted=enforce_sorted)
    hx = torch.randn(2, 3, 6, dtype=DTYPE)
    output, h_n = rnn(packed, hx, preactivation=rows.data.transpose(0, 1))
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(output)
    for b, (x, p) in enumerate(zip(sequences, injected, strict=True)):
        expected, final = rnn(x, hx[:, b], preactivation=p)
        assert_close(padded[: lengths[b], b], expected)
        assert_close(h_n[:, b], final)
    assert_close(rnn.forward_with_packed_input(packed, hx)[0].data, rnn(packed, hx)[0].data)


def test_nested_input():
    rnn = leaky(form="current")
    rows = [torch.randn(n, 4, dtype=DTYPE) for n in (3, 5)]
    nested = torch.nested.nested_tensor(rows, layout=torch.jagged)
    output, _ = rnn(nested)
    for mine, x in zip(output.unbind(), rows, strict=True):
        assert_close(mine, rnn(x)[0])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("learn_alpha", [False, True])
def test_cell_step_by_step(form, learn_alpha):
    rnn = leaky(alpha=torch.rand(6) * 0.8 + 0.1, form=form, nonlinearity="sigmoid")
    cell = elman.LeakyRNNCell(
        4, 6, nonlinearity="sigmoid", alpha=rnn.alpha, form=form, learn_alpha=learn_alpha,
        dtype=DTYPE,
    )  # fmt: skip
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = getattr(rnn, f"{name}_l0").data
    x, p = torch.randn(5, 3, 4, dtype=DTYPE), torch.randn(5, 3, 6, dtype=DTYPE)
    state, outputs = None, []
    for step, injected in zip(x, p, strict=True):
        state = cell(step, state, injected)
        outputs.append(cell.output(state))
    output, h_n = rnn(x, preactivation=p)
    assert_close([torch.stack(outputs), state], [output, h_n[0]])
    assert_close(rnn.output(h_n)[0], output[-1])
    assert pickle.loads(pickle.dumps(cell))(x[0]).equal(cell(x[0]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mapping", ["many_to_many", "many_to_one", "one_to_many"])
def test_inside_of_a_network(form, mapping):
    net = elman.Network(
        4, 6, 4, mapping=mapping, cell="leaky", form=form, alpha=0.3, nonlinearity="sigmoid"
    ).double()
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    if mapping == "one_to_many":
        y, _ = net(x[0], steps=3)
        first = net.out(net.rnn(x[:1])[0])
        assert_close(y[0], first[0])
        return
    y, h_n = net(x)
    output, final = net.rnn(x)
    assert_close(h_n, final)
    # The last output, which is not h_n in the current form.
    assert_close(y, net.out(output if mapping == "many_to_many" else output[-1]))


def test_converters_leave_it_alone():
    report = []
    rnn = leaky()
    assert type(elman.convert(torch.nn.Sequential(rnn), report)[0]) is elman.LeakyRNN
    assert type(elman.to_torch(torch.nn.Sequential(rnn), report)[0]) is elman.LeakyRNN
    assert [line.replaced for line in report] == [False]


@pytest.mark.parametrize("form", FORMS)
def test_gradient_by_lag(form):
    rnn = leaky(form=form)
    x, p = torch.randn(6, 3, 4, dtype=DTYPE), torch.randn(6, 3, 6, dtype=DTYPE)
    p_t = p.clone().requires_grad_()
    output, _ = rnn(x, preactivation=p_t)
    # The gradient at a_t is that at p_t.
    delta = torch.autograd.grad(output[5].sum(), p_t)[0].norm(dim=-1)  # [T, B]
    norms = elman.gradient_by_lag(rnn, x, preactivation=p, max_lag=6)
    assert_close(norms[0, 5], delta[0].mean())  # only the last output is 5 steps from the first
    handle = rnn.register_forward_hook(lambda *_: None)
    assert_close(elman.gradient_by_lag(rnn, x, preactivation=p, max_lag=6), norms)
    handle.remove()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_outputs_of_states_for_every_activation(name):
    rnn = leaky(form="current", nonlinearity=name)
    output, h_n = rnn(torch.randn(5, 3, 4, dtype=DTYPE))
    assert_close(rnn.output(h_n)[0], output[-1])
