"""Hooks of every kind: what they are called with, and what they may change, is as in torch."""

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils.rnn import pack_sequence

KINDS = (elman.RNN, torch.nn.RNN)


def modules():
    for kind in KINDS:
        torch.manual_seed(1)
        yield kind(4, 6, 2, dtype=torch.float64)


def example():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(5, 3, 4, dtype=torch.float64, generator=generator).requires_grad_()


def test_forward_hooks_see_and_change_arguments_and_results():
    results = []
    for module in modules():
        seen = []
        x, hx = example(), torch.ones(2, 3, 6, dtype=torch.float64)

        def halve(module, args, kwargs, seen=seen):
            seen.append([*args, *kwargs.values()])
            return (0.5 * args[0],), kwargs

        def square(module, args, kwargs, output, seen=seen):
            seen.append([*args, *kwargs.values(), *output])
            return output[0].square(), output[1]

        module.register_forward_pre_hook(halve, with_kwargs=True)
        module.register_forward_hook(square, with_kwargs=True)
        output, h_n = module(x, hx=hx)
        gradient = torch.autograd.grad(output.sum(), [x, *module.parameters()])
        results.append([*seen[0], *seen[1], output, h_n, *gradient])
    assert_close(*results)


@pytest.mark.parametrize("packed", [False, True])
def test_forward_hook_that_always_runs(packed):
    rnn, seen = elman.RNN(4, 6), []
    rnn.register_forward_hook(lambda module, args, output: seen.append(output), always_call=True)
    input = torch.zeros(5, 3, 7)
    with pytest.raises(RuntimeError, match="input_size"):
        rnn(pack_sequence([input[:, 0]]) if packed else input)
    assert seen == [None]


def test_full_backward_hooks():
    results = []
    for module in modules():
        seen = []
        module.register_full_backward_pre_hook(
            lambda module, grad_output, seen=seen: seen.extend(grad_output)
        )
        module.register_full_backward_hook(
            lambda module, grad_input, grad_output, seen=seen: (
                seen.extend((*grad_input, *grad_output)) or (2 * grad_input[0], *grad_input[1:])
            )
        )
        x, hx = example(), torch.ones(2, 3, 6, dtype=torch.float64, requires_grad=True)
        output, h_n = module(x, hx)
        (output.square().sum() + h_n.sum()).backward()
        results.append([*seen, x.grad, hx.grad, *(p.grad for p in module.parameters())])
    assert_close(*results)


def test_backward_hooks_of_tensors_and_parameters():
    results = []
    for module in modules():
        seen = []
        for parameter in module.parameters():
            parameter.register_hook(lambda grad, seen=seen: seen.append(grad) or 3 * grad)
            parameter.register_post_accumulate_grad_hook(
                lambda parameter, seen=seen: seen.append(parameter.grad.clone())
            )
        output, _ = module(example())
        output.register_hook(lambda grad: -grad)
        output.sum().backward()
        seen.sort(key=lambda grad: (grad.shape, grad.flatten()[0].item()))
        results.append(seen)
    assert len(results[0]) == 16
    assert_close(*results)


def test_hooks_on_state_dicts():
    rnn, seen = elman.RNN(4, 6), []
    rnn.register_state_dict_pre_hook(lambda module, prefix, keep_vars: seen.append("pre"))

    def remove(module, state, prefix, metadata):
        del state[prefix + "bias_hh_l0"]

    rnn.register_state_dict_post_hook(remove)
    state = rnn.state_dict()
    assert "bias_hh_l0" not in state

    def supply(module, state, prefix, metadata, strict, missing, unexpected, errors):
        seen.append(module)
        state[prefix + "bias_hh_l0"] = torch.zeros(6)

    rnn.register_load_state_dict_pre_hook(supply)
    rnn.register_load_state_dict_post_hook(lambda module, keys: seen.append(list(keys[0])))
    rnn.load_state_dict(state)
    assert seen == ["pre", rnn, []]
    assert not rnn.bias_hh_l0.any()


def test_hooks_of_all_modules():
    seen = []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, output: seen.append(type(module))
    )
    try:
        elman.RNN(4, 6)(torch.zeros(5, 3, 4))
        elman.RNNCell(4, 6)(torch.zeros(3, 4))
    finally:
        handle.remove()
    assert seen == [elman.RNN, elman.RNNCell]
