"""Where the operators' tensors lie: strides, views, what is saved, and changes in place."""

import pytest
import torch
from samples import Case, assert_close, make


def test_noncontiguous_and_expanded_arguments():
    sample = make(Case(num_layers=2))
    expected, expected_gradients = sample.run(), sample.gradients()

    def strided(tensor):
        wide = torch.empty(*tensor.shape, 2, dtype=tensor.dtype)[..., 0]
        return wide.copy_(tensor.detach()).requires_grad_()

    sample.input, sample.hx = strided(sample.input), strided(sample.hx)
    sample.params = [strided(param) for param in sample.params]
    sample.grad_output = strided(sample.grad_output).detach()
    assert not sample.params[0].is_contiguous()
    assert_close(sample.run(), expected)
    assert_close(sample.gradients(), expected_gradients)

    row = torch.randn(2, 1, 6, dtype=torch.float64)
    input, _, *rest = sample.args()
    assert_close(
        sample.op(input, row.expand(2, 3, 6), *rest), sample.op(input, row.repeat(1, 3, 1), *rest)
    )
    total = sample.run()[0].sum()  # arrives as an expanded gradient
    ones = torch.ones_like(sample.grad_output)
    assert_close(
        torch.autograd.grad(total, sample.leaves()),
        torch.autograd.grad(sample.run()[0], sample.leaves(), ones),
    )


def test_saved_layers_may_lie_anywhere():
    """The backward operator takes states and masks that are views into something larger."""
    sample = make(Case(num_layers=3, dropout=0.4, k1=2, k2=4))
    input, hx, params, bias, layers, dropout, train, bidirectional, batch_first = sample.args()
    step_options = {"batch_sizes": None, "reset": None, "nonlinearity": "tanh"}
    with torch.no_grad():
        output, _, states, masks, drives = torch.ops.elman._rnn_forward(
            *(input, hx, params, bias, layers, dropout, train, bidirectional, batch_first),
            k1=2,
            k2=4,
            carry_scale=None,
            masks=None,
            save_states=True,
            save_drives=True,
            **step_options,
        )

        def backward(states, masks):
            return torch.ops.elman._rnn_backward(
                *(sample.grad_output, sample.grad_h_n, output, states, masks, drives),
                *(input, hx, params, bias, layers, dropout, train, bidirectional, batch_first),
                k1=2,
                k2=4,
                carry_scale=None,
                output_mask=[True] * len(sample.leaves()) + [False, False],
                **step_options,
            )

        expected = backward(states, masks)
        rings = [torch.nn.functional.pad(saved, (0, 0, 0, 0, 2, 1)) for saved in (states, masks)]
        views = [ring[:, 2:-1] for ring in rings]
        assert not views[0].is_contiguous() and views[0][0].is_contiguous()
        assert_close(backward(*views), expected)


def test_results_are_no_views_of_each_other_or_of_the_arguments():
    for case in (Case(), Case(steps=1), Case(batched=False), Case(lengths=(2, 1))):
        sample = make(case)
        storages = [t.untyped_storage().data_ptr() for t in (*sample.run(), *sample.leaves())]
        assert len(set(storages)) == len(storages)


def test_changing_a_saved_tensor_in_place_is_noticed():
    sample = make(Case())
    for victim in (sample.input, sample.params[1]):
        output, _ = sample.run()
        with torch.no_grad():
            victim.mul_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()
