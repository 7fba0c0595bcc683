"""The data sets of the benchmarks, by name: rows and labels to fit, rows and labels that stay unseen."""

from itertools import pairwise

import numpy as np
from mnist import load_mnist
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split
from surfaces import surfaces
from tabular import TABLES, load_table

SMALL = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
ROWS_OF_MNIST = 60_000
ADDED = 120  # of the nines of "digits but 9"


def load(name):
    """Load a data set.

    Parameters
    ----------
    name : str
        "iris", "wine", "breast cancer" or "digits", one of TABLES, or "surfaces", a third of them unseen; "digits but
        9", the nines of which are unseen; "MNIST 5,000" or another number of rows; "mixture 50" or another number of
        features.

    Returns
    -------
    X, y, X_unseen, y_unseen : ndarray
        Rows to fit and their labels, rows that stay unseen and theirs.
    """
    if name in SMALL:
        return held_out(*SMALL[name](return_X_y=True))
    if name in TABLES:
        return held_out(*load_table(name))
    if name == "surfaces":
        return held_out(*surfaces())
    if name == "digits but 9":
        X, y = load_digits(return_X_y=True)
        return X[y != 9], y[y != 9], X[y == 9], y[y == 9]
    kind, size = name.split()
    return {"MNIST": first_of_mnist, "mixture": mixture}[kind](int(size.replace(",", "")))


def held_out(X, y):
    X, X_unseen, y, y_unseen = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
    return X, y, X_unseen, y_unseen


def first_of_mnist(n_rows):
    """The first rows of MNIST; beyond 60,000 of its copies, each turned and shifted elsewhere."""
    X, y, X_unseen, y_unseen = load_mnist()
    if n_rows <= ROWS_OF_MNIST:
        return X[:n_rows], y[:n_rows], X_unseen, y_unseen
    n_copies = -(-n_rows // ROWS_OF_MNIST)
    return (
        moved_copies(X, n_rows, n_copies),
        np.tile(y, n_copies)[:n_rows],
        moved_copies(X_unseen, len(X_unseen), n_copies),
        np.concatenate([y_unseen[part] for part in parts_of(len(X_unseen), len(X_unseen), n_copies)]),
    )


def moved_copies(X, n_rows, n_copies, shift=10.0):
    """Rotate rows about the origin and shift them, every copy by a rotation and along an axis of its own.

    Images of MNIST lie about 6 from their neighbours and 9 from the origin: a rotation and a shift by 10 leave about 19
    between one copy and another.
    """
    copies = np.empty((n_rows, X.shape[1]), dtype=X.dtype)
    random = np.random.RandomState(0)
    end = 0
    for copy, part in enumerate(parts_of(len(X), n_rows, n_copies)):
        rotation, _ = np.linalg.qr(random.normal(size=(X.shape[1], X.shape[1])))
        rows = X[part]
        moved = copies[end : end + len(rows)]
        np.matmul(rows, rotation.astype(X.dtype), out=moved)
        moved[:, copy] += shift
        end += len(rows)
    return copies


def parts_of(n_source, n_rows, n_copies):
    """Which rows of the source each copy takes: all where they are to be repeated, else an equal share of them."""
    if n_rows > n_source:
        return [slice(0, min(n_source, n_rows - start)) for start in range(0, n_rows, n_source)]
    edges = np.linspace(0, n_source, n_copies + 1).astype(int)
    return [slice(start, end) for start, end in pairwise(edges)]


def mixture(n_features, n_rows=10_000, n_unseen=1_000, n_clusters=20, n_dimensions=10):
    """Gaussian clusters in 10 dimensions, laid linearly into many features, with noise on each."""
    random = np.random.default_rng(0)
    y = random.integers(n_clusters, size=n_rows + n_unseen)
    centres = 4 * random.standard_normal((n_clusters, n_dimensions), dtype=np.float32)
    Z = centres[y] + random.standard_normal((len(y), n_dimensions), dtype=np.float32)
    X = random.standard_normal((len(y), n_features), dtype=np.float32)
    X *= 0.1
    X += Z @ random.standard_normal((n_dimensions, n_features), dtype=np.float32)
    return X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]
