"""What is no tensor, int or name is refused by the argument's name, before anything is computed."""

import subprocess
import sys

import elman
import pytest
import torch

ROWS = [[1.0, 2.0, 3.0, 4.0]]
x = torch.randn(6, 3, 4)
rnn = elman.RNN(4, 5)
leaky = elman.LeakyRNN(4, 5, alpha=0.5)
noisy = elman.LeakyRNN(4, 5, alpha=0.5, noise=0.1)
cell, leaky_cell = elman.RNNCell(4, 5), elman.LeakyRNNCell(4, 5, alpha=0.5)
generator = elman.Network(4, 5, 4, mapping="one_to_many")


def stream(module=rnn):
    made = elman.Stream(module, k1=2, k2=4)
    made(x[:2])
    return made


def lag(**options):
    return elman.gradient_by_lag(leaky, x, max_lag=2, **options)


NO_TENSOR = {
    "input should be a Tensor or a PackedSequence": [
        lambda: rnn(ROWS),
        lambda: leaky(ROWS),
        lambda: noisy(ROWS),
        lambda: elman.Network(4, 5, 2)(ROWS),
        lambda: elman.kernel_info(rnn, ROWS),
        lambda: elman.kernel_info(noisy, ROWS),
    ],
    "input should be a Tensor": [
        lambda: cell(ROWS),
        lambda: leaky_cell(ROWS),
        lambda: stream()(ROWS),
        lambda: stream().burn_in(ROWS),
        lambda: elman.gradient_by_lag(rnn, ROWS, max_lag=2),
        lambda: elman.forgetting_length(rnn, ROWS),
        lambda: elman.kernel_info(cell, ROWS),
    ],
    "hx should be a Tensor or None": [
        lambda: rnn(x, ROWS),
        lambda: leaky(x, ROWS),
        lambda: cell(x[0], ROWS),
        lambda: leaky_cell(x[0], ROWS),
        lambda: generator(x[0], ROWS, steps=2),
        lambda: lag(hx=ROWS),
        lambda: elman.kernel_info(cell, x[0], ROWS),
        lambda: elman.kernel_info(rnn, x, ROWS),
    ],
    "reset should be a Tensor or None": [
        lambda: rnn(x, reset=ROWS),
        lambda: stream()(x[:2], ROWS),
        lambda: lag(reset=ROWS),
        lambda: elman.kernel_info(rnn, x, reset=ROWS),
    ],
    "carry_scale should be a Tensor or None": [
        lambda: rnn(x, carry_scale=ROWS),
        lambda: stream()(x[:2], carry_scale=ROWS),
        lambda: elman.kernel_info(rnn, x, carry_scale=ROWS),
    ],
    "preactivation should be a Tensor or None": [
        lambda: leaky(x, preactivation=ROWS),
        lambda: noisy(x, preactivation=ROWS),
        lambda: leaky_cell(x[0], None, ROWS),
        lambda: stream(leaky)(x[:2], preactivation=ROWS),
        lambda: lag(preactivation=ROWS),
        lambda: elman.kernel_info(leaky_cell, x[0], preactivation=ROWS),
    ],
    "grad_output should be a Tensor or None": [lambda: lag(grad_output=ROWS)],
    "norms should be a Tensor": [
        lambda: elman.plot_gradient_by_lag(ROWS),
        lambda: elman.AdaptiveTruncation(0.1, 5).update(ROWS),
    ],
    "state should be a Tensor": [lambda: stream().set_state(ROWS)],
    "rows should be a Tensor or None": [lambda: stream().set_state(torch.zeros(1, 3, 5), [True])],
}


@pytest.mark.parametrize(
    ("message", "call"), [(message, call) for message, calls in NO_TENSOR.items() for call in calls]
)
def test_a_list_in_the_place_of_a_tensor(message, call):
    with pytest.raises(TypeError) as raised:
        call()
    assert str(raised.value) == f"{message}, got: list"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: generator(x[0], steps=2.5), TypeError, "steps should be an int, got: 2.5"),
        (
            lambda: elman.Network(4, 5, "2"),
            TypeError,
            "output_size should be of type int, got: str",
        ),
        (lambda: elman.random_truncation(3, 2, [4]), TypeError, "length should be a number"),
        (lambda: elman.random_truncation(3, 2, 4, generator=1), TypeError, "generator should be"),
        (lambda: elman.RNN(4, 5, nonlinearity=["relu"]), ValueError, "Unknown nonlinearity"),
        (lambda: elman.RNNCell(4, 5, nonlinearity=["relu"]), ValueError, "Unknown nonlinearity"),
        (lambda: elman.Network(4, 5, 2, cell=["leaky"]), ValueError, "Unknown cell"),
        (lambda: elman.load_from(["keras"], []), ValueError, "library should be one of"),
        (
            lambda: elman.reset_from_flags(torch.zeros(3), ["skrl"]),
            ValueError,
            "convention should be one of",
        ),
        (lambda: stream().load_state_dict([1]), TypeError, "Expected state_dict to be dict-like"),
        (lambda: stream().load_state_dict({"a": 1}), TypeError, "state_dict: a should be a Tensor"),
        (
            lambda: elman.AdaptiveTruncation(0.1, 5).load_state_dict([1]),
            TypeError,
            "Expected state_dict to be dict-like",
        ),
        (
            lambda: elman.AdaptiveTruncation(0.1, 5).load_state_dict({}),
            KeyError,
            "expected 'length'",
        ),
        (
            lambda: elman.AdaptiveTruncation(0.1, 5).load_state_dict({"length": "3"}),
            TypeError,
            "length should be an int, got: '3'",
        ),
    ],
)
def test_other_wrong_types(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None  # import numpy fails
import warnings
warnings.simplefilter("ignore")  # torch says that it has no NumPy
import elman, torch
torch.manual_seed(0)
rnn = elman.RNN(4, 5, 2)
x = torch.randn(7, 4)
torch.testing.assert_close(elman.Stepper(rnn).process(x), rnn(x)[0].detach())
elman.save_stepper(rnn, sys.argv[1])
assert torch.equal(elman.Stepper.load(sys.argv[1]).process(x), elman.Stepper(rnn).process(x))
"""


def test_steppers_need_no_numpy(tmp_path):
    arguments = [sys.executable, "-c", WITHOUT_NUMPY, str(tmp_path / "net.safetensors")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
