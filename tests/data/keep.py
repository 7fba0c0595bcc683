"""Write the models that test_save.py and test_persistence.py read: once for each format, never again for an old one.

A pickle is named by the version of the package that wrote it.
"""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP, __version__
from parametric_umap.persistence import FORMAT_VERSION

QUICK = {"hidden_layer_sizes": (24, 24), "n_epochs": 5, "batches_per_epoch": 20, "random_state": 0}
MODELS = {
    "plain": {},
    "everything": {
        "n_components": 3,
        "metric": "seuclidean",
        "metric_kwds": {"sigma": np.ones(192)},
        "decoder": True,
        "output_dens": True,
        "init": "pca",
    },
}


def rows_of(name):
    """200 digits as an array; thrice beside each other, which makes them wide, in a frame with names."""
    X = load_digits().data[:200]
    return X if name == "plain" else pd.DataFrame(np.hstack([X] * 3)).add_prefix("pixel")


if __name__ == "__main__":
    for name, parameters in MODELS.items():
        umap = ParametricUMAP(**QUICK, **parameters).fit(rows_of(name))
        for version in (FORMAT_VERSION, __version__):
            file = Path(__file__).parent / f"{name}-{version}"
            np.save(f"{file}.npy", umap.transform(rows_of(name)[:50]))
        umap.save(Path(__file__).parent / f"{name}-{FORMAT_VERSION}.safetensors")
        Path(f"{file}.pickle").write_bytes(pickle.dumps(umap))
