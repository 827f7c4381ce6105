"""How many steps a turn of an exported Scan runs; nothing of the last turn's padding is read."""

import elman
import numpy as np
import onnxruntime
import pytest
import torch
from onnx_files import WithReset, assert_runs, bodies, export, op_types, reset_arguments
from torch.export import Dim

T, B = Dim("T"), Dim("B")


@pytest.mark.parametrize("steps_per_turn", [1, 2, 3, 7, 20])
def test_steps_per_turn(steps_per_turn):
    module = WithReset(num_layers=2, bidirectional=True)
    dynamic_shapes = ({0: T, 1: B}, {0: T, 1: B})
    model = export(module, reset_arguments(7, 3), dynamic_shapes, steps_per_turn=steps_per_turn)
    assert op_types(model).count("Tanh") == 4 * steps_per_turn
    for sizes in ((7, 3), (12, 2), (1, 1)):
        assert_runs(model, module, reset_arguments(*sizes))


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_fixed_steps(steps):
    """A turn has no more steps than there are."""
    rnn = elman.RNN(4, 6)
    model = export(rnn, (torch.randn(steps, 3, 4),))
    assert op_types(model).count("Tanh") == min(steps, 4)
    assert_runs(model, rnn, (torch.randn(steps, 3, 4),))


@pytest.mark.parametrize("steps", [3, 4, 5])
def test_what_the_padding_makes_is_not_read(steps):
    """Zeros as the next inputs would leave another state, and of an unstable network an infinite
    one."""
    rnn = elman.RNN(2, 2, nonlinearity="relu", bidirectional=True)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.fill_(1e10)
    model = export(rnn, (torch.ones(7, 1, 2),), {"input": {0: T, 1: B}})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = torch.full((steps, 1, 2), 1e-30)
    for actual, wanted in zip(session.run(None, {"input": x.numpy()}), rnn(x), strict=True):
        np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("steps_per_turn", [1, 4])
@pytest.mark.parametrize("nonlinearity", ["tanh", "identity"])
@pytest.mark.parametrize("form", [None, "rate", "current"])
def test_a_turn_gives_out_each_value_once(form, nonlinearity, steps_per_turn):
    """onnxruntime returns other numbers for a value that a Scan's body gives out twice
    (findings/onnxruntime_scan_gives_out_twice.sh), and for one that it passes on as it is."""
    if form is None:
        rnn = elman.RNN(4, 6, nonlinearity=nonlinearity)
    else:
        rnn = elman.LeakyRNN(4, 6, alpha=0.3, form=form, nonlinearity=nonlinearity)
    shapes = {"input": {0: T, 1: B}}
    model = export(rnn, (torch.randn(7, 3, 4),), shapes, steps_per_turn=steps_per_turn)
    (body,) = bodies(model)
    given = [value.name for value in body.output]
    assert len(set(given)) == len(given)
    assert not set(given) & {value.name for value in body.input}
    assert_runs(model, rnn, (torch.randn(9, 2, 4),))


def names_of_axes(value):
    return {dim.dim_param for dim in value.type.tensor_type.shape.dim if dim.dim_param}


def test_axes_have_the_same_names_inside_of_a_scan():
    model = export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), {"input": {0: T, 1: B}})
    (body,) = bodies(model)
    for value in [*body.input, *body.output]:
        assert names_of_axes(value) == {"B"}
