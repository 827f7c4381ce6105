"""Fixtures of all Python tests."""

import os
import tempfile

import pytest
import torch

# Inductor's cache knows what it compiled by the operators' names, not by their schemas.
_inductor_cache = tempfile.TemporaryDirectory(prefix="elman-inductor-")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = _inductor_cache.name


def pytest_addoption(parser):
    parser.addoption("--load", help="a library with kernels that take the place of elman's own")


def pytest_configure(config):
    if library := config.getoption("--load"):
        import elman  # noqa: F401 - registers the operators first

        torch.ops.load_library(library)
    config.addinivalue_line("markers", "slow: takes some seconds (deselect: -m 'not slow')")
    config.addinivalue_line("markers", "cuda: needs a GPU; deselected where there is none")
    # TorchScript is deprecated upstream, and elman supports it all the same.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.*is deprecated")


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers, whichever tests ran before it."""
    torch.manual_seed(0)


#: Modules whose tests run on a GPU too, where there is one.
ON_EVERY_DEVICE = (
    "test_autocast",
    "test_cell",
    "test_gradcheck",
    "test_leaky_oracle",
    "test_modules",
    "test_opcheck",
    "test_operator_memory",
    "test_operators",
    "test_truncation",
    "test_truncation_identities",
)


def pytest_generate_tests(metafunc):
    if torch.cuda.is_available() and metafunc.module.__name__ in ON_EVERY_DEVICE:
        devices = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
        metafunc.parametrize("default_device", devices, indirect=True)


def pytest_collection_modifyitems(config, items):
    if torch.cuda.is_available():
        return
    needs_gpu = [item for item in items if item.get_closest_marker("cuda")]
    if needs_gpu:
        config.hook.pytest_deselected(items=needs_gpu)
        items[:] = [item for item in items if item not in needs_gpu]


@pytest.fixture(autouse=True)
def default_device(request):
    """Where tensors are made that name no device. Products on a GPU are those of float32, on both
    sides of a comparison."""
    name = getattr(request, "param", "cpu")
    if name == "cpu":
        yield
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_default_device(name)
    yield
    torch.set_default_device(None)
