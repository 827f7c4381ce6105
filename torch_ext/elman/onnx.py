"""What torch.onnx.export(dynamo=True) makes of elman's operators.

Nothing has to be passed to the exporter: importing elman adds its operators to the table of
decompositions that an export makes for itself. No other table of torch's knows of them, since a
decomposition there would come before elman's kernels elsewhere.

A sequence comes in one of three forms (:data:`FORMS`). The default is the one that the runtimes
compute correctly, or refuse; ONNX's own RNN node is right by the standard and computed wrong by
several of them without an error. docs/deployment.md has the table.

The models are for inference: what only gradients know (truncation, `carry_scale`) leaves no trace.
Dropout in training mode and complex numbers are refused.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from elman import _plain
from elman._activations import ACTIVATIONS
from elman._decompositions import decompositions
from elman._on_import import on_import

__all__ = ["FORMS", "export", "use_form"]


def _each_nth(x: Tensor, n: int) -> list[Tensor]:
    """x: [T, ...] as n tensors [ceil(T/n), ...]: the steps 0, n, 2n, ..., then 1, n + 1, ....

    Zeros follow the last step where n does not divide T.
    """
    if n == 1:
        return [x]
    padded = torch.nn.functional.pad(x, [0, 0] * (x.dim() - 1) + [0, n - 1])
    # The ends are counted from the back, so that they are constants for every T.
    return [padded[i : (i + 1 - n) or None : n] for i in range(n)]


def _joined(parts: list[Tensor], steps: int) -> Tensor:
    """The inverse of _each_nth, without the padding: [T, B, H]."""
    if len(parts) == 1:
        return parts[0]
    n, (turns, batch, size) = len(parts), parts[0].shape
    symbolic = torch.onnx.ops.symbolic
    # The sizes as operators of ONNX, since torch.onnx needs five more to compute them from T, and
    # without -1, of which onnxruntime makes another number where the batch is empty.
    sizes = symbolic("Shape", (parts[0],), dtype=torch.int64, shape=(3,))
    times = symbolic("Constant", (), {"value_ints": [n, 1, 1]}, dtype=torch.int64, shape=(3,))
    rows = symbolic(
        "Reshape",
        (torch.cat(parts, 1), sizes * times),
        dtype=parts[0].dtype,
        shape=(turns * n, batch, size),
    )
    return rows[:steps]


def _scan(
    x: Tensor,
    state: Tensor,
    cell,
    reset: Tensor | None,
    added: Tensor | None,
    *,
    steps_per_turn: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX's Scan over MatMul, Add and the activation; the products with x stand before it.

    A turn of the Scan runs n steps. The padding of the last turn comes after all steps, and nothing
    that it makes is read: h_n is taken from the states.
    """
    from torch._higher_order_ops.scan import scan_op

    steps, current = x.size(0), cell.leak_form == "current"
    n = min(steps_per_turn, steps) if isinstance(steps, int) else steps_per_turn
    # Detached, or the exporter's passes would make a backward pass that nobody asks for.
    projected, state = cell.project(x, added).detach(), state.detach()
    sequences = [projected] if reset is None else [projected, reset.unsqueeze(2)]
    parts = [part for sequence in sequences for part in _each_nth(sequence, n)]
    constants = tuple(constant.detach() for constant in cell.constants)

    def turn(state, *given):
        own, outputs, states = given[len(parts) :], [], []
        for i in range(n):
            projected, *border = given[i : len(parts) : n]
            state, output = cell.step(projected, state, own, *border)
            outputs.append(output)
            states.append(state)
        # Each value once: onnxruntime makes other numbers of one that is carried and stacked, or
        # stacked twice, without an error.
        results = [state]
        for value in outputs + states if current else states:
            results.append(value.clone() if any(value is seen for seen in results) else value)
        return tuple(results)

    _, *made = scan_op(turn, [state], parts, constants)
    outputs = _joined(made[:n], steps)
    states = _joined(made[n:], steps) if current else outputs
    return outputs, states, states[-1]


def _rnn_node(
    x: Tensor, state: Tensor, cell, reset: Tensor | None, added: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX's RNN operator, of one direction and without `sequence_lens`, which some ignore."""
    if reset is not None:
        raise RuntimeError(
            "elman: ONNX's RNN has no reset; export in the default form, or a model that does not "
            "pass it"
        )
    if cell.leak is not None or cell.leak_form == "current" or added is not None:
        raise RuntimeError(
            "elman: ONNX's RNN has no leak and no preactivation; export in the default form"
        )
    steps, batch, hidden_size = x.size(0), x.size(1), cell.w_hh.size(0)
    activation = ACTIVATIONS[cell.nonlinearity]
    attributes = {
        "hidden_size": hidden_size,
        "direction": "forward",
        "activations": [activation.onnx],
    }
    if activation.alpha is not None:
        attributes |= {
            "activation_alpha": [activation.alpha],
            "activation_beta": [activation.beta],
        }
    states, final = torch.onnx.ops.symbolic_multi_out(
        "RNN",
        (
            x,
            cell.w_ih.unsqueeze(0),
            cell.w_hh.unsqueeze(0),
            None if cell.b_ih is None else torch.cat([cell.b_ih, cell.b_hh]).unsqueeze(0),
            None,
            state.unsqueeze(0),
        ),
        attributes,
        dtypes=(x.dtype, x.dtype),
        shapes=([steps, 1, batch, hidden_size], [1, batch, hidden_size]),
    )
    states = states.squeeze(1)
    return states, states, final.squeeze(0)


_RUNS: dict[str, Any] = {"Scan": _scan, "RNN": _rnn_node, "unrolled": _plain.unrolled}

#: The forms that a sequence can take. ``"Scan"``, the default: ONNX's Scan over MatMul, Add and
#: the activation. ``"RNN"``: ONNX's own RNN node. ``"unrolled"``: each step's MatMul, Add and
#: activation by itself, for a fixed number of steps.
FORMS = tuple(_RUNS)

# onnxruntime spends a third of a microsecond on a turn, whatever is in it. Four steps share that;
# with more, the slices before the Scan cost what the turns save.
_STEPS_PER_TURN = 4


def _run_of(form: str, steps_per_turn: int | None) -> _plain.Run:
    if form not in FORMS:
        raise ValueError(f"form should be one of {', '.join(map(repr, FORMS))}, got: {form!r}")
    if form == "Scan":
        n = _STEPS_PER_TURN if steps_per_turn is None else steps_per_turn
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise ValueError(f"steps_per_turn should be a positive integer, got: {n!r}")
        return functools.partial(_scan, steps_per_turn=n)
    if steps_per_turn is not None:
        raise ValueError(f"steps_per_turn is of the form 'Scan', got it with form={form!r}")
    return _RUNS[form]


_default_run = _run_of("Scan", None)
_run: contextvars.ContextVar[_plain.Run] = contextvars.ContextVar("elman.onnx run")


@contextlib.contextmanager
def use_form(form: str, *, steps_per_turn: int | None = None) -> Iterator[None]:
    """Exports inside of the ``with`` block write sequences in this form, one of :data:`FORMS`.

    It serves exports that other libraries start, too, since they end in ``torch.onnx.export``.

    Args:
        form: one of :data:`FORMS`
        steps_per_turn: of the form ``"Scan"``: how many steps one turn of the Scan runs. Default:
            4, which is faster in onnxruntime the smaller the layers are; tract takes 1 only
    """
    token = _run.set(_run_of(form, steps_per_turn))
    try:
        yield
    finally:
        _run.reset(token)


def export(
    *args: Any, form: str = "Scan", steps_per_turn: int | None = None, **options: Any
) -> "torch.onnx.ONNXProgram | None":
    """``torch.onnx.export(..., dynamo=True)`` with elman's sequences in the given form.

    Args:
        args: as of :func:`torch.onnx.export`
        form: one of :data:`FORMS`. Default: ``"Scan"``
        steps_per_turn: as of :func:`use_form`
        options: as of :func:`torch.onnx.export`

    Returns:
        the :class:`torch.onnx.ONNXProgram`

    Example::

        >>> program = elman.onnx.export(model, (x,), form="unrolled")
        >>> program.save("model.onnx")
    """
    if options.pop("dynamo", True) is not True:
        raise ValueError(
            "dynamo should be True: the older exporter does not know elman's operators"
        )
    with use_form(form, steps_per_turn=steps_per_turn):
        return torch.onnx.export(*args, dynamo=True, **options)


@on_import("torch.onnx._internal.exporter._decomp")
def _join_exports(decomp: ModuleType) -> None:
    """Adds the decompositions to the table of each export.

    The exporter offers no public place for this, short of an argument that each caller would have
    to pass. In a torch that makes its table elsewhere an export says that it does not know elman's
    operators.
    """
    create_table = getattr(decomp, "create_onnx_friendly_decomposition_table", None)
    if create_table is None:
        return

    @functools.wraps(create_table)
    def create_table_with_elman(*args, **kwargs):
        _rename_axes_of_subgraphs()
        return {
            **create_table(*args, **kwargs),
            **decompositions(_run.get(_default_run)),
        }

    vars(decomp)["create_onnx_friendly_decomposition_table"] = create_table_with_elman


def _rename_axes_of_subgraphs() -> None:
    """Lets the exporter give the dynamic axes of a Scan's body their names, too.

    It renames the axes of all values but the inputs of subgraphs (torch 2.11 to 2.15), and tract
    refuses a Scan whose batch is called ``s27`` inside and ``B`` outside.
    """
    from torch.onnx._internal.exporter import _ir_passes

    all_values = getattr(_ir_passes, "_all_values", None)
    if all_values is None or hasattr(all_values, "__wrapped__"):
        return

    @functools.wraps(all_values)
    def all_values_and_inputs_of_subgraphs(model):
        yield from all_values(model)
        for node in model.graph.all_nodes():
            for attribute in node.attributes.values():
                if attribute.type.name == "GRAPH":
                    yield from attribute.as_graph().inputs

    _ir_passes._all_values = all_values_and_inputs_of_subgraphs
