"""MNIST, for the benchmarks and for the tests that need real data."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def load_mnist():
    """Load MNIST, in the original order.

    It is read from ``mnist.npz`` in the folder that the environment variable PARAMETRIC_UMAP_DATA names, by default
    ``../shared/data`` beside the repository; where that file is missing, from OpenML.

    Returns
    -------
    X_train : ndarray of shape (60000, 784), float32
        Images, their values between 0 and 1.
    y_train : ndarray of shape (60000,), int64
        The digits that they show.
    X_test : ndarray of shape (10000, 784), float32
        Images of the test set.
    y_test : ndarray of shape (10000,), int64
        The digits that they show.
    """
    file = Path(os.environ.get("PARAMETRIC_UMAP_DATA", SHARED_DATA)) / "mnist.npz"
    if file.exists():
        with np.load(file) as arrays:
            X = np.concatenate([arrays["x_train"], arrays["x_test"]])
            y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    else:
        X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
    X = X.astype(np.float32) / 255
    y = y.astype(np.int64)
    return X[:60_000], y[:60_000], X[60_000:], y[60_000:]
