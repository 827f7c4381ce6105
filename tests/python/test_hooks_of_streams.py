"""What surrounds a module's call, in `Stream`, `gradient_by_lag` and `forward_with_packed_input`:
they see what `rnn(x)` sees.
"""

import warnings

import elman
import pytest
import torch
from samples import assert_close
from stream_oracle import random_rnn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.rnn import pack_sequence

X = torch.randn(12, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
PACKED = pack_sequence([X[:, 0], X[:7, 1]])


def spectral_norm(rnn):
    torch.nn.utils.spectral_norm(rnn, "weight_hh_l0")
    return rnn.weight_hh_l0_orig


def weight_norm(rnn):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.nn.utils.weight_norm(rnn, "weight_hh_l0")
    return rnn.weight_hh_l0_v


def pruned(rnn):
    prune.random_unstructured(rnn, "weight_hh_l0", 0.5)
    return rnn.weight_hh_l0_orig


def parametrized(rnn):
    torch.nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    return rnn.parametrizations.weight_hh_l0.original1


#: Makes weight_hh_l0 a function of a raw weight, which is returned.
MAKERS = [spectral_norm, weight_norm, pruned, parametrized]


def changed(make):
    """A module whose raw weight has changed since the last time that its weight was made."""
    rnn = random_rnn().eval()
    raw = make(rnn)
    with torch.no_grad():
        raw.mul_(-2)
    return rnn, raw


@pytest.mark.parametrize("make", MAKERS)
def test_weights_made_by_hooks_are_made_for_each_chunk(make):
    rnn, raw = changed(make)
    with torch.no_grad():
        streamed = torch.cat([elman.Stream(rnn, 12, 12)(X)])
    assert_close(streamed, rnn(X)[0])

    # Chunk by chunk with a changing raw weight: the detach loop, which is k1 = k2.
    stream, h = elman.Stream(rnn, 4, 4), None
    for chunk in X.split(4):
        output, h = rnn(chunk, h)
        (expected,) = torch.autograd.grad(output.square().sum(), [raw])
        h = h.detach()
        (actual,) = torch.autograd.grad(stream(chunk).square().sum(), [raw])
        assert_close(actual, expected)
        with torch.no_grad():
            raw.mul_(0.9)


@pytest.mark.parametrize("make", MAKERS)
def test_gradient_by_lag_of_weights_made_by_hooks(make):
    rnn, _ = changed(make)
    actual = elman.gradient_by_lag(rnn, X, max_lag=4)
    rnn(X)
    plain = random_rnn()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            parameter.copy_(getattr(rnn, name))
    assert_close(actual, elman.gradient_by_lag(plain, X, max_lag=4))


@pytest.mark.parametrize("make", MAKERS)
def test_forward_with_packed_input_of_weights_made_by_hooks(make):
    rnn, _ = changed(make)
    with torch.no_grad():
        direct = rnn.forward_with_packed_input(PACKED)
        called = rnn(PACKED)
    assert_close([direct[0].data, direct[1]], [called[0].data, called[1]])


def runs(rnn):
    return {
        "Stream": lambda: elman.Stream(rnn, 12, 12)(X),
        "gradient_by_lag": lambda: elman.gradient_by_lag(rnn, X, max_lag=2),
        "forward_with_packed_input": lambda: rnn.forward_with_packed_input(PACKED),
    }


@pytest.mark.parametrize("name", ["Stream", "gradient_by_lag", "forward_with_packed_input"])
def test_hooks_run_once_and_are_given_the_module(name):
    rnn, seen = random_rnn(), []
    hooks = [
        rnn.register_forward_pre_hook(lambda module, args: seen.append(("before", module))),
        rnn.register_forward_hook(lambda module, args, out: seen.append(("after", module))),
        torch.nn.modules.module.register_module_forward_hook(
            lambda module, args, out: seen.append(("of all", module))
        ),
    ]
    runs(rnn)[name]()
    assert [when for when, _ in seen] == ["before", "of all", "after"]
    assert all(module is rnn for _, module in seen)
    for hook in hooks:
        hook.remove()
    runs(rnn)[name]()
    assert len(seen) == 3


def test_hooks_change_a_streams_input_and_output():
    rnn = random_rnn()
    with torch.no_grad():
        expected = 2 * rnn(X + 1)[0]
    rnn.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    rnn.register_forward_hook(lambda module, args, out: (2 * out[0], out[1]))
    stream = elman.Stream(rnn, 4, 8)
    with torch.no_grad():
        assert_close(torch.cat([stream(chunk) for chunk in X.split(4)]), expected)


def test_hooks_see_the_states_and_a_stream_its_options():
    rnn, states = random_rnn(num_layers=2), []
    reset, scale = torch.rand(12, 3) < 0.3, torch.rand(12, 3, dtype=torch.float64)
    chunks = list(zip(X.split(4), reset.split(4), scale.split(4), strict=True))
    plain, weights = elman.Stream(rnn, 4, 8), list(rnn.parameters())
    expected = [plain(*chunk).sum() for chunk in chunks]
    expected = [torch.autograd.grad(loss, weights) for loss in expected]
    rnn.register_forward_hook(lambda module, args, out: states.append(out[1]))
    stream = elman.Stream(rnn, 4, 8)
    actual = [stream(*chunk).sum() for chunk in chunks]
    for loss, gradients in zip(actual, expected, strict=True):
        assert_close(torch.autograd.grad(loss, weights), gradients)
    assert_close(states[-1], plain.state)


def test_full_backward_hooks_of_a_stream():
    rnn, seen = random_rnn(), []
    rnn.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    stream = elman.Stream(rnn, 4, 8)
    for chunk in X.clone().requires_grad_().split(4):
        (3 * stream(chunk)).sum().backward()
    assert_close(torch.stack(seen), torch.full((3, 4, 3, 4), 3.0, dtype=torch.float64))


class Residual(elman.RNN):
    def forward(self, input, hx=None):
        output, h_n = super().forward(2 * input, hx)
        return output + input, h_n


def residual():
    rnn = Residual(4, 4, dtype=torch.float64)
    return rnn, torch.randn(12, 3, 4, dtype=torch.float64)


def test_a_subclass_with_a_forward_of_its_own():
    rnn, x = residual()
    stream = elman.Stream(rnn, 4, 12)
    with torch.no_grad():
        assert_close(torch.cat([stream(chunk) for chunk in x.split(4)]), rnn(x)[0])
    plain = elman.RNN(4, 4, dtype=torch.float64)
    plain.load_state_dict(rnn.state_dict())
    assert_close(
        elman.gradient_by_lag(rnn, x, max_lag=3), elman.gradient_by_lag(plain, 2 * x, max_lag=3)
    )
    with pytest.raises(TypeError, match="unexpected keyword argument 'reset'"):
        stream(x[:4], torch.zeros(4, 3, dtype=torch.bool))


def test_an_object_whose_forward_was_replaced():
    # As accelerate does it: the wrapper loads the weights, and calls what was there.
    rnn, loaded = random_rnn(), []
    forward = rnn.forward

    def wrapper(*args, **kwargs):
        loaded.append(True)
        return forward(*args, **kwargs)

    rnn.forward = wrapper
    for run in runs(rnn).values():
        run()
    assert len(loaded) == 3


class Twice(elman.RNN):
    def forward(self, input, hx=None):
        super().forward(input, hx)
        return super().forward(input, hx)


class Never(elman.RNN):
    def forward(self, input, hx=None):
        return input, hx


class WithState(elman.RNN):
    def forward(self, input, hx=None):
        return super().forward(input, torch.zeros(1, input.size(1), self.hidden_size))


class Packs(elman.RNN):
    def forward(self, input, hx=None):
        return super().forward(pack_sequence(input.unbind(1)), hx)


@pytest.mark.parametrize(
    ("cls", "kind", "message"),
    [
        (
            Twice,
            RuntimeError,
            "Twice.forward calls its recurrent layers more than once .* a stream",
        ),
        (Never, RuntimeError, "Never.forward did not call its recurrent layers"),
        (WithState, ValueError, r"hx: a stream carries the states itself; .* shape \[1, 3, 4\]"),
        (Packs, TypeError, "input should be a Tensor, got: PackedSequence"),
    ],
)
def test_a_subclass_that_no_stream_can_take_is_refused(cls, kind, message):
    with pytest.raises(kind, match=message):
        elman.Stream(cls(3, 4), 4, 4)(torch.zeros(4, 3, 3))


@pytest.mark.parametrize("cls", [Twice, Never])
def test_a_subclass_that_has_no_one_gradient_by_lag(cls):
    with pytest.raises(RuntimeError, match=f"{cls.__name__}.forward .* gradient_by_lag"):
        elman.gradient_by_lag(cls(3, 4), torch.zeros(4, 3, 3), max_lag=2)


def test_after_an_error_the_module_is_called_as_before():
    rnn = Twice(3, 4)
    with pytest.raises(RuntimeError, match="more than once"):
        elman.Stream(rnn, 4, 4)(torch.zeros(4, 3, 3))
    assert rnn(torch.zeros(9, 3, 3))[0].shape == (9, 3, 4)


def test_a_forward_that_calls_forward_with_packed_input():
    class Sub(elman.RNN):
        def forward(self, input, hx=None):
            output, h_n = self.forward_with_packed_input(input, hx)
            return output, 2 * h_n

    rnn = Sub(3, 4, dtype=torch.float64)
    assert_close(rnn(PACKED)[1], 2 * rnn.forward_with_packed_input(PACKED)[1])


def test_inside_of_compiled_code():
    rnn = random_rnn()
    rnn.register_forward_hook(lambda module, args, out: (2 * out[0], out[1]))
    stream, plain = elman.Stream(rnn, 4, 8), elman.Stream(rnn, 4, 8)
    step = torch.compile(lambda x: stream(x + 1).square(), backend="eager")
    for chunk in X.split(4):
        assert_close(step(chunk), plain(chunk + 1).square())


def test_of_a_compiled_module():
    rnn = random_rnn()
    with torch.no_grad():
        expected = rnn(X)[0]
        rnn.register_forward_pre_hook(lambda module, args: None)
        rnn.compile(backend="eager")
        assert_close(rnn(X)[0], expected)
        assert_close(elman.Stream(rnn, 12, 12)(X), expected)


def test_kernel_info_and_parametrizations_need_no_call():
    rnn = random_rnn()
    parametrize.register_parametrization(rnn, "weight_hh_l0", torch.nn.Identity())
    assert elman.kernel_info(rnn, X) == elman.kernel_info(random_rnn(), X)
