"""What torch.compile has to be told for models that contain elman's modules."""

from types import ModuleType

from elman._on_import import on_import

__all__: list[str] = []


@on_import("torch._dynamo.trace_rules")
def _break_at_padding(trace_rules: ModuleType) -> None:
    """Breaks the graph at torch's pad_packed_sequence, which reads the values of batch_sizes.

    In 2.11 dynamo traces into it and stops with an error. A model with a torch.nn.RNN mostly comes
    through, because dynamo gives up the whole frame at that module, and does not at elman's. Later
    releases have this very entry in their table. `elman.pad_packed_sequence` is traceable.
    """
    table = getattr(trace_rules, "manual_torch_name_rule_map", None)
    skip = getattr(trace_rules, "SkipFunctionVariable", None)
    if table is not None and skip is not None:
        table.setdefault("torch.nn.utils.rnn.pad_packed_sequence", skip)
