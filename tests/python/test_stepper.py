"""`elman.Stepper` computes what the modules do, one step at a time, and its files are read back."""

import copy
import gc
import json
import pickle
import weakref

import elman
import pytest
import torch

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-13}


def networks():
    for dtype in (torch.float32, torch.float64):
        for nonlinearity in ("tanh", "relu", "sigmoid", "softplus", "identity"):
            yield elman.RNN(4, 20, 2, nonlinearity, dtype=dtype)
        yield elman.RNN(4, 20, bias=False, batch_first=True, dtype=dtype)
        yield torch.nn.RNN(4, 20, 2, dtype=dtype)
        yield torch.nn.RNN(4, 20, nonlinearity="relu", dtype=dtype)
        for output in ("identity", "softmax", "sigmoid", "tanh"):
            yield elman.Network(4, 20, 3, output=output, num_layers=2, dtype=dtype)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_step_and_process_equal_the_module(rows, kind, tmp_path):
    for module in networks():
        dtype = next(module.parameters()).dtype
        x = torch.randn(30, rows, 4, dtype=dtype)
        batch_first = getattr(getattr(module, "rnn", module), "batch_first", False)
        with torch.no_grad():
            expected, h_n = module(x.transpose(0, 1) if batch_first else x)
        expected = expected.transpose(0, 1) if batch_first else expected
        elman.save_stepper(module, tmp_path / "stepper.safetensors")
        for stepper in (
            elman.Stepper(module, rows),
            elman.Stepper.load(tmp_path / "stepper.safetensors", rows),
        ):
            assert stepper.dtype == dtype
            given = x if kind == "tensor" else x.numpy()
            y = [stepper.step(step) for step in given]
            assert all(type(step) is type(given) for step in y)
            y = torch.stack([torch.as_tensor(step) for step in y])
            torch.testing.assert_close(y, expected, rtol=0, atol=TOLERANCE[dtype])
            torch.testing.assert_close(stepper.state, h_n, rtol=0, atol=TOLERANCE[dtype])
            stepper.reset()
            y = torch.as_tensor(stepper.process(given))
            torch.testing.assert_close(y, expected, rtol=0, atol=TOLERANCE[dtype])


def test_100000_steps_of_a_module():
    for dtype in (torch.float32, torch.float64):
        rnn = elman.RNN(2, 16, dtype=dtype)
        x = torch.randn(100_000, 2, dtype=dtype)
        with torch.no_grad():
            expected, _ = rnn(x)
        y = elman.Stepper(rnn).process(x)
        torch.testing.assert_close(y, expected, rtol=0, atol=TOLERANCE[dtype])


def test_cells():
    for cell in (
        elman.RNNCell(4, 20, nonlinearity="softplus"),
        torch.nn.RNNCell(4, 20, nonlinearity="relu"),
    ):
        stepper, h = elman.Stepper(cell), None
        for x in torch.randn(20, 4):
            h = cell(x, h)
            torch.testing.assert_close(stepper.step(x), h.detach(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("alpha", [0.2, torch.linspace(0.1, 1, 5), torch.rand(2, 5) * 0.9 + 0.1])
def test_leaky_networks(form, alpha):
    rnn = elman.LeakyRNN(3, 5, 2, "sigmoid", alpha=alpha, form=form, dtype=torch.float64)
    stepper = elman.Stepper(rnn)
    leak = torch.as_tensor(alpha, dtype=torch.float64).expand(2, 5)
    f = torch.sigmoid
    carried = torch.zeros(2, 5, dtype=torch.float64)
    with torch.no_grad():
        for x in torch.randn(40, 3, dtype=torch.float64):
            below = x
            for layer in range(2):
                w_ih, w_hh, b_ih, b_hh = rnn.all_weights[layer]
                before = carried[layer]
                a = w_ih @ below + b_ih + w_hh @ (f(before) if form == "current" else before) + b_hh
                drive = a if form == "current" else f(a)
                carried[layer] = (1 - leak[layer]) * before + leak[layer] * drive
                below = f(carried[layer]) if form == "current" else carried[layer].clone()
            torch.testing.assert_close(stepper.step(x), below, rtol=0, atol=1e-13)
    torch.testing.assert_close(stepper.state[:, 0], carried, rtol=0, atol=1e-13)
    rnn.noise = 0.1
    with pytest.raises(ValueError, match=r"adds no noise, but the module has noise = 0\.1, in"):
        elman.Stepper(rnn)
    rnn.noise_in_eval = False
    assert elman.Stepper(rnn).hidden_size == 5
    plain = elman.Stepper(elman.LeakyRNN(3, 5, alpha=1.0))
    assert b"leak_form" not in plain.__getstate__()["contents"]


def test_out_in_place_and_strided_arrays():
    stepper = elman.Stepper(elman.RNN(4, 4))
    x = torch.randn(10, 4)
    expected = stepper.process(x)
    stepper.reset()
    out = torch.empty(4)
    assert stepper.step(x[0], out=out) is out
    torch.testing.assert_close(out, expected[0])
    y = x[1].clone()
    assert stepper.step(y, y) is y
    torch.testing.assert_close(y, expected[1])
    array = x[2:].numpy().copy()
    assert stepper.process(array, array) is array
    torch.testing.assert_close(torch.as_tensor(array), expected[2:])
    stepper.reset()
    strided = torch.empty(10, 8)[:, ::2].copy_(x)
    torch.testing.assert_close(stepper.process(strided), expected)
    stepper.reset()
    torch.testing.assert_close(torch.as_tensor(stepper.process(strided.numpy())), expected)
    # A parameter records nothing.
    assert not stepper.step(torch.nn.Parameter(x[0])).requires_grad


def test_rows_and_states():
    rnn = elman.RNN(4, 5, 2)
    stepper = elman.Stepper(rnn, rows=3)
    stepper.process(torch.randn(7, 3, 4))
    state = stepper.state
    stepper.reset(1)
    assert stepper.state[:, 1].eq(0).all()
    torch.testing.assert_close(stepper.state[:, 0], state[:, 0])
    stepper.state = state.numpy()
    x = torch.randn(3, 4)
    with torch.no_grad():
        expected, _ = rnn(x[None], state)
    torch.testing.assert_close(stepper.step(x), expected[0], rtol=0, atol=2e-6)


def test_pickle_and_copy_keep_the_state():
    stepper = elman.Stepper(elman.Network(4, 20, 3, dtype=torch.float64), rows=2)
    stepper.process(torch.randn(7, 2, 4, dtype=torch.float64))
    others = [pickle.loads(pickle.dumps(stepper)), copy.deepcopy(stepper)]
    x = torch.randn(2, 4, dtype=torch.float64)
    y = stepper.step(x)
    for other in others:
        assert torch.equal(other.step(x), y)
        assert repr(other) == repr(stepper)


def test_training_on_does_not_change_it_and_it_is_freed():
    rnn = elman.RNN(4, 5)
    stepper = elman.Stepper(rnn)
    x = torch.randn(4)
    y = stepper.step(x)
    with torch.no_grad():
        rnn.weight_ih_l0.zero_()
    stepper.reset()
    assert torch.equal(stepper.step(x), y)
    gone = weakref.ref(stepper)
    del stepper
    gc.collect()
    assert gone() is None


def test_parametrized_and_16_bit_weights():
    rnn = elman.RNN(4, 5)
    torch.nn.utils.parametrizations.orthogonal(rnn, "weight_hh_l0")
    x = torch.randn(10, 4)
    with torch.no_grad():
        torch.testing.assert_close(elman.Stepper(rnn).process(x), rnn(x)[0], rtol=0, atol=2e-6)
    half = elman.RNN(4, 5, dtype=torch.bfloat16)
    stepper = elman.Stepper(half)
    assert stepper.dtype == torch.float32
    with torch.no_grad():
        torch.testing.assert_close(stepper.process(x), half.float()(x)[0], rtol=0, atol=2e-6)


def test_the_file_is_what_the_format_says(tmp_path):
    net = elman.Network(4, 6, 3, output="softmax", num_layers=2)
    path = tmp_path / "net.safetensors"
    elman.save_stepper(net, path)
    contents = path.read_bytes()
    length = int.from_bytes(contents[:8], "little")
    header, data = json.loads(contents[8 : 8 + length]), contents[8 + length :]
    assert header.pop("__metadata__") == {
        "elman_stepper": "1",
        "nonlinearity": "tanh",
        "output": "softmax",
    }
    state_dict = {name.removeprefix("rnn."): value for name, value in net.state_dict().items()}
    assert header.keys() == state_dict.keys()
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
        assert torch.equal(values.view(entry["shape"]), state_dict[name])
