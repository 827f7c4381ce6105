"""elman.decompose for the tools that compile for devices: what they make of it, against torch's
numbers where the tool has a runtime here (Core ML's exists on macOS only).

ExecuTorch's Python runtime fits one release of torch, which need not be elman's: the file is run by
a process that sees the torch in the folder (site-packages) that ELMAN_EXECUTORCH_TORCH names.
"""

import os
import subprocess
import sys

import elman
import numpy as np
import pytest
import torch

T, B, I, H = 7, 3, 4, 6


class Tagger(torch.nn.Module):
    """A stack of both directions under a linear layer, batch first."""

    def __init__(self, nonlinearity="tanh"):
        super().__init__()
        self.rnn = elman.RNN(I, H, 2, nonlinearity, batch_first=True, bidirectional=True)
        self.out = torch.nn.Linear(2 * H, 5)

    def forward(self, x):
        states, h_n = self.rnn(x)
        return self.out(states), h_n


class Cells(torch.nn.Module):
    """Two steps of a cell."""

    def __init__(self, nonlinearity="tanh"):
        super().__init__()
        self.cell = elman.RNNCell(I, H, nonlinearity=nonlinearity)

    def forward(self, x):
        return self.cell(x[1], self.cell(x[0]))


MODELS = [
    pytest.param(Tagger(), torch.randn(B, T, I), id="tanh"),
    pytest.param(Tagger("relu"), torch.randn(B, T, I), id="relu"),
    pytest.param(Tagger("sigmoid"), torch.randn(B, T, I), id="sigmoid"),
    pytest.param(Cells(), torch.randn(2, B, I), id="cells"),
]


def decomposed(module, x):
    return elman.decompose(torch.export.export(module.eval(), (x,)))


def expected(module, x):
    results = module(x)
    results = results if isinstance(results, tuple) else (results,)
    return [result.detach().numpy() for result in results]


def assert_close(actual, wanted):
    assert len(actual) == len(wanted)
    for a, w in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(a, w, rtol=1e-5, atol=1e-6)


RUN_PTE = """
import sys
import numpy as np
import torch
from executorch.runtime import Runtime

x = torch.from_numpy(np.load(sys.argv[2]))
results = Runtime.get().load_program(sys.argv[1]).load_method("forward").execute([x])
np.savez(sys.argv[3], *[result.numpy() for result in results])
"""


@pytest.mark.parametrize(("module", "x"), MODELS)
def test_executorch(module, x, tmp_path):
    from executorch.exir import to_edge

    site_packages = os.environ.get("ELMAN_EXECUTORCH_TORCH")
    assert site_packages, "ELMAN_EXECUTORCH_TORCH should name a folder with torch 2.15"
    program = to_edge(decomposed(module, x)).to_executorch()
    (tmp_path / "model.pte").write_bytes(program.buffer)
    np.save(tmp_path / "x.npy", x.numpy())
    # The first on the path wins, so that the torch of elman's build stays out of the way.
    environment = {**os.environ, "PYTHONPATH": site_packages}
    files = [str(tmp_path / name) for name in ("model.pte", "x.npy", "results.npz")]
    subprocess.run([sys.executable, "-c", RUN_PTE, *files], env=environment, check=True)
    with np.load(tmp_path / "results.npz") as results:
        assert_close([results[name] for name in results.files], expected(module, x))


@pytest.mark.parametrize(("module", "x"), MODELS)
def test_litert(module, x, tmp_path):
    import litert_torch

    model = litert_torch.convert(decomposed(module, x).module(), (x,))
    actual = model(x.numpy())
    wanted = expected(module, x)
    assert_close(actual if isinstance(actual, (list, tuple)) else [actual], wanted)


def test_litert_takes_more_steps_and_ignores_them(tmp_path):
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    module, x = elman.RNN(I, H).eval(), torch.randn(T, B, I)
    litert_torch.convert(decomposed(module, x).module(), (x,)).export(str(tmp_path / "m.tflite"))
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [T + 4, B, I])
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, np.zeros((T + 4, B, I), np.float32))
    interpreter.invoke()
    shapes = [tuple(o["shape"]) for o in interpreter.get_output_details()]
    assert (T, B, H) in shapes and (T + 4, B, H) not in shapes


@pytest.mark.parametrize(("module", "x"), MODELS)
def test_coremltools(module, x):
    import coremltools

    # It knows ATen's core operators only.
    program = decomposed(module, x).run_decompositions({})
    model = coremltools.convert(program)
    assert len(model.get_spec().description.output) == len(expected(module, x))


def test_dynamic_steps_are_refused():
    steps = {"input": {0: torch.export.Dim("T")}}
    program = torch.export.export(elman.RNN(I, H), (torch.randn(T, B, I),), dynamic_shapes=steps)
    with pytest.raises(RuntimeError, match="fixed number of steps"):
        elman.decompose(program)
