"""PyTorch's own samples for nn.RNN and nn.RNNCell, run through elman's modules."""

import elman
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db

OURS = {torch.nn.RNN: elman.RNN, torch.nn.RNNCell: elman.RNNCell}
INFOS = [info for info in module_db if info.module_cls in OURS]
DTYPE = torch.float64


def flat(result):
    """The tensors in a module's result: a tensor, or (tensor or PackedSequence, tensor)."""
    parts = result if isinstance(result, tuple) else (result,)
    return [part if isinstance(part, torch.Tensor) else part.data for part in parts]


def make(module_cls, call):
    torch.manual_seed(0)
    return module_cls(*call.args, **call.kwargs).to(DTYPE)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients(info, training):
    samples = info.module_inputs_func(
        info, device="cpu", dtype=DTYPE, requires_grad=True, training=training
    )
    assert samples
    for sample in samples:
        results = []
        for module_cls in (info.module_cls, OURS[info.module_cls]):
            module = make(module_cls, sample.constructor_input).train(training)
            torch.manual_seed(1)  # dropout
            output = flat(module(*sample.forward_input.args, **sample.forward_input.kwargs))
            gradients = torch.autograd.grad(
                sum(o.square().sum() for o in output), [*module.parameters()]
            )
            results.append([*output, *gradients])
        torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-10)


def as_function(module, call):
    """The call of `module` as a function of its tensors and parameters alone, and those."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    packed = [isinstance(arg, PackedSequence) for arg in call.args]
    tensors = [
        arg.data if is_packed else arg for arg, is_packed in zip(call.args, packed, strict=True)
    ]

    def function(*values):
        args = [
            arg._replace(data=value) if is_packed else value
            for arg, value, is_packed in zip(call.args, values[: len(tensors)], packed, strict=True)
        ]
        weights = dict(zip(names, values[len(tensors) :], strict=True))
        return tuple(flat(torch.func.functional_call(module, weights, tuple(args))))

    return function, (*tensors, *parameters)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_first_and_second_derivatives_are_those_of_finite_differences(info):
    """As torch checks its own modules: gradcheck and gradgradcheck of inputs and parameters."""
    samples = info.module_inputs_func(
        info, device="cpu", dtype=DTYPE, requires_grad=True, training=True
    )
    for i, sample in enumerate(samples):
        module = make(OURS[info.module_cls], sample.constructor_input)
        function, values = as_function(module, sample.forward_input)
        assert torch.autograd.gradcheck(function, values, fast_mode=True)
        if i % 5 == 0:  # some of every kind
            assert torch.autograd.gradgradcheck(function, values, fast_mode=True)


@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.name)
def test_errors(info):
    samples = info.module_error_inputs_func(
        info, device="cpu", dtype=DTYPE, requires_grad=False, training=True
    )
    assert samples
    for sample in samples:
        call = sample.module_error_input
        ours = OURS[info.module_cls]
        with pytest.raises(sample.error_type, match=sample.error_regex):
            module = ours(*call.constructor_input.args, **call.constructor_input.kwargs)
            assert sample.error_on is not ModuleErrorEnum.CONSTRUCTION_ERROR
            module(*call.forward_input.args, **call.forward_input.kwargs)
