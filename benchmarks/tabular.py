"""Tables of the UCI Machine Learning Repository in raw units, on which nearest neighbours are hard to keep."""

import os
from pathlib import Path

import numpy as np
from mnist import SHARED_DATA
from sklearn.datasets import fetch_openml

# The file beside that of MNIST, the name in it, and the name and number of features at OpenML.
TABLES = {
    "waveform": ("tabular", "waveform", "waveform-5000", 21),
    "segment": ("tabular", "segment", "segment", 19),
    "page-blocks": ("tabular", "page_blocks", "page-blocks", 10),
    "avila": ("hard", "avila", "avila", 10),
    "eeg": ("hard", "eeg", "eeg-eye-state", 14),
}


def load_table(name):
    """Load a table, in the original order.

    It is read from ``tabular.npz`` or ``hard.npz`` in the folder of ``load_mnist``; where that file is missing, from
    OpenML.

    Parameters
    ----------
    name : {"waveform", "segment", "page-blocks", "avila", "eeg"}
        Which. Four rows of "eeg" are broken readings, thousands of spreads away.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        Rows, in raw units.
    y : ndarray of shape (n_samples,)
        Their classes.
    """
    file, kept_name, openml_name, n_features = TABLES[name]
    file = Path(os.environ.get("PARAMETRIC_UMAP_DATA", SHARED_DATA)) / f"{file}.npz"
    if file.exists():
        with np.load(file) as arrays:
            key = "x" if f"{kept_name}_x" in arrays else "X"
            return arrays[f"{kept_name}_{key}"], arrays[f"{kept_name}_y"]
    X, y = fetch_openml(openml_name, version=1, as_frame=False, return_X_y=True)
    return X[:, :n_features].astype(np.float32), y
