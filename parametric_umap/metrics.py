"""How well an embedding keeps what is near, near; beside ``sklearn.manifold.trustworthiness``."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from .typing import Rows


def knn_accuracy(
    embedding: ArrayLike,
    y: ArrayLike,
    embedding_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    n_neighbors: int = 10,
) -> float:
    """Share of rows whose label is the majority label of their nearest embedded neighbours.

    Parameters
    ----------
    embedding : array-like of shape (n_samples, n_components)
        Embedded rows that vote.
    y : array-like of shape (n_samples,)
        Their labels.
    embedding_test, y_test : array-like of shape (n_test, n_components) and (n_test,), default=None
        Embedded rows that are classified; None classifies the voters, each without its own vote.
    n_neighbors : int, default=10
        Number of votes.

    Returns
    -------
    accuracy : float
        Between 0 and 1.
    """
    classifier = KNeighborsClassifier(n_neighbors).fit(embedding, y)
    if embedding_test is None:
        others = classifier.kneighbors(return_distance=False)
        classes, codes = np.unique(y, return_inverse=True)
        votes = (codes[others][:, :, None] == np.arange(len(classes))).sum(axis=1)
        return float((votes.argmax(axis=1) == codes).mean())
    return float(classifier.score(embedding_test, y_test))


def neighborhood_recall(X: Rows, embedding: ArrayLike, *, n_neighbors: int = 15) -> float:
    """Share of each row's nearest neighbours that are still among its nearest neighbours in the embedding.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows.
    embedding : array-like of shape (n_samples, n_components)
        Their positions.
    n_neighbors : int, default=15
        Number of neighbours, the row itself not counted.

    Returns
    -------
    recall : float
        Mean over the rows, between 0 and 1.
    """
    before, after = (
        NearestNeighbors(n_neighbors=n_neighbors).fit(data).kneighbors(return_distance=False) for data in (X, embedding)
    )
    return float(np.mean([len(np.intersect1d(*pair)) / n_neighbors for pair in zip(before, after, strict=True)]))
