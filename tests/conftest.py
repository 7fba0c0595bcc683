"""What several test modules need."""

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # read by scipy when imported; scikit-learn skips checks of an estimator without it

import pytest
import torch
from mnist import load_mnist

pytest_plugins = ["pretended"]


@pytest.fixture(scope="session")
def mnist():
    """MNIST, as ``load_mnist`` of ``benchmarks/mnist.py`` returns it."""
    try:
        return load_mnist()
    except Exception as error:
        pytest.skip(f"MNIST is not here, and could not be fetched: {error!r}")


@pytest.fixture
def two_threads():
    """Two threads for torch, on a machine of any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
