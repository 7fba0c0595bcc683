"""ParaDime's "Parametric UMAP" example, every setting of it: fit 5,000 images of MNIST, map all 70,000.

Prints the losses of both phases and the time of each stage, and how good the map is; draws it twice.
"""

import argparse
import io
import re
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from mnist import load_mnist
from sklearn.manifold import trustworthiness

from parametric_umap import EmbeddingDisplay, ParametricUMAP
from parametric_umap.metrics import knn_accuracy, neighborhood_recall

RECIPE = {
    "n_neighbors": 30,
    "min_dist": 0.1,
    "spread": 1.0,
    "hidden_layer_sizes": (100, 100, 100),
    "activation": "relu",
    "pca_variance": 1.0,
    "n_waves": 0,
    "input_noise": 0.0,
    "init": "spectral",
    "init_scale": 1.0,
    "n_guides": 0,
    "init_epochs": 10,
    "init_batch_size": 500,
    "init_learning_rate": 0.01,
    "n_epochs": 60,
    "batches_per_epoch": 10,
    "sampling": "edges",
    "batch_size": 500,
    "negative_sample_rate": 3,
    "learning_rate": 0.01,
    "optimizer": "adam",
    "report_interval": {"spectral_init": 2, "main_embedding": 5},
    "verbose": True,
}
# k-NN accuracy, trustworthiness of fitted and unseen rows, neighbour recall of fitted and unseen rows.
PARADIME = (0.738, 0.905, 0.884, 0.170, 0.152)


def main(seed, output):
    X_train, y_train, X_test, y_test = load_mnist()
    X, y = X_train[:5000], y_train[:5000]

    transcript = Transcript()
    with redirect_stdout(transcript):
        model = ParametricUMAP(**RECIPE, random_state=seed).fit(X)
    seconds = stage_seconds(transcript.getvalue())

    start = time.perf_counter()
    Z_all = model.transform(np.concatenate([X_train, X_test]))
    seconds["transform of all 70,000"] = time.perf_counter() - start
    print_table("stage", "seconds", {stage: f"{value:7.2f}" for stage, value in seconds.items()})

    Z, Z_test = model.embedding_, Z_all[60_000:]
    rows = {"ParaDime": PARADIME, f"parametric_umap, seed {seed}": quality(X, y, Z, X_test, y_test, Z_test)}
    cells = "{:7.3f}{:14.3f} / {:.3f}{:14.3f} / {:.3f}"
    header = "k-NN acc.   trust train / test   recall train / test"
    print_table("", header, {name: cells.format(*figures) for name, figures in rows.items()})

    output.mkdir(parents=True, exist_ok=True)
    y_all = np.concatenate([y_train, y_test])
    for name, positions, digits in (("5000_fitted", Z, y), ("70000_mapped", Z_all, y_all)):
        EmbeddingDisplay.from_embedding(positions, digits).figure_.savefig(output / f"mnist_{name}.png", dpi=160)
    print(f"\nTwo pictures are written to {output}.")


class Transcript(io.StringIO):
    """Standard output that is kept as well as shown."""

    def write(self, text):
        sys.__stdout__.write(text)
        sys.__stdout__.flush()
        return super().write(text)


def stage_seconds(transcript):
    """Find how long each stage of a fit took.

    Parameters
    ----------
    transcript : str
        What `fit` printed. Each line starts with the seconds since the fit began, and the stage.

    Returns
    -------
    seconds : dict of {str: float}
        Duration by stage, and of all of them.
    """
    starts = {}
    for start, stage in re.findall(r"^ *([\d.]+) s  ([\w ]+)", transcript, re.MULTILINE):
        starts.setdefault(stage, float(start))
    durations = np.diff(list(starts.values()))  # the last stage is called "done"
    return dict(zip(starts, durations, strict=False)) | {"all of fit": starts["done"]}


def quality(X, y, Z, X_test, y_test, Z_test):
    """Measure a map on the rows that it was fitted to and on rows that it never saw.

    Parameters
    ----------
    X, y, Z : ndarray
        Fitted rows, their labels and positions.
    X_test, y_test, Z_test : ndarray
        Unseen rows, their labels and positions.

    Returns
    -------
    figures : tuple of float
        k-NN accuracy of all unseen rows, then trustworthiness of the fitted rows and of the unseen ones, then
        neighbour recall of both; the last four on a random 5,000 where there are more.
    """
    fitted, unseen = (np.random.RandomState(0).permutation(len(rows))[:5000] for rows in (X, X_test))
    parts = (X[fitted], Z[fitted]), (X_test[unseen], Z_test[unseen])
    return (
        knn_accuracy(Z, y, Z_test, y_test, n_neighbors=10),
        *(trustworthiness(*part, n_neighbors=15) for part in parts),
        *(neighborhood_recall(*part, n_neighbors=15) for part in parts),
    )


def print_table(name, header, rows):
    print(f"\n{name:<26}{header}")
    for row, cells in rows.items():
        print(f"{row:<26}{cells}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="random_state of the fit")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", help="folder for the pictures"
    )
    arguments = parser.parse_args()
    main(arguments.seed, arguments.output)
