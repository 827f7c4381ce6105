"""Fixtures of all Python tests."""

import pytest
import torch


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes some seconds (deselect: -m 'not slow')")
    # TorchScript is deprecated upstream, and elman supports it all the same.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit.*is deprecated")


@pytest.fixture(autouse=True)
def seed():
    """Every test draws the same numbers, whichever tests ran before it."""
    torch.manual_seed(0)
