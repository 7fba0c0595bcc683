"""Whether rows of one class lie together."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils._param_validation import Interval, validate_params

from ..typing import keeps_signature
from .input import finite_rows, one_column


@keeps_signature(
    validate_params(
        {
            "embedding": ["array-like"],
            "y": ["array-like"],
            "embedding_test": ["array-like", None],
            "y_test": ["array-like", None],
            "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        },
        prefer_skip_nested_validation=True,
    )
)
def knn_accuracy(
    embedding: ArrayLike,
    y: ArrayLike,
    embedding_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    n_neighbors: int = 10,
) -> float:
    """Share of rows whose label is the majority label of their nearest embedded neighbours.

    Of several labels with as many votes, the first in sorted order is taken.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, n_components)
        Embedded rows that vote.
    y : array-like of shape (n_samples,)
        Their labels: text, booleans or whole numbers.
    embedding_test, y_test : array-like of shape (n_test, n_components) and (n_test,), default=None
        Embedded rows that are classified, both or neither; None classifies the voters, each without its own vote.
    n_neighbors : int, default=10
        Number of votes; below the number of voters, or equal to it where others are classified.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If a parameter is out of its range; if rows are not finite, or are not as many as their labels; if labels are of
        several types, missing, or fractions.
    """
    embedding, y = _labelled(embedding, y, "embedding", "y")
    if (embedding_test is None) != (y_test is None):
        raise ValueError("embedding_test and y_test are given both or neither.")
    n_voters = len(embedding) - (embedding_test is None)
    if n_neighbors > n_voters:
        raise ValueError(f"n_neighbors={n_neighbors} must be at most {n_voters}, the number of rows that vote.")
    classifier = KNeighborsClassifier(n_neighbors).fit(embedding, y)
    if embedding_test is None:
        return float(classifier.score(None, y))
    return float(classifier.score(*_labelled(embedding_test, y_test, "embedding_test", "y_test")))


def _labelled(embedding, y, name, name_of_labels):
    embedding, y = finite_rows(embedding, name), _labels(y, name_of_labels)
    if len(embedding) != len(y):
        raise ValueError(
            f"{name_of_labels} must have a label for each row of {name}; got {len(y)} for {len(embedding)}."
        )
    return embedding, y


def _labels(y, name):
    # numpy would make text of a list of text and others
    y = one_column(np.array(y, dtype=object) if isinstance(y, list | tuple) else y, name)
    allowed = f"{name} must hold labels, all text, all booleans or all whole numbers"
    if y.dtype == object:
        text = np.array([isinstance(label, str) for label in y], dtype=bool)
        other = [label for label in y[~text] if text.any() or not isinstance(label, Real | np.bool_)]
        if other:
            raise ValueError(f"{allowed}; got {other[0]!r}{' among text' if text.any() else ''}.")
        y = np.array(y.tolist())
    if y.dtype.kind == "f" and not (whole := np.isfinite(y) & (y == np.floor(y))).all():
        raise ValueError(f"{allowed}; got {y[~whole][0]:g}.")
    return y
