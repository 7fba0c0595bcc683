"""What ``scoring=`` takes: the metrics, applied to rows and to where a fitted estimator maps them."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

from sklearn.metrics._scorer import _BaseScorer

from .classes import knn_accuracy
from .distances import distance_correlation, random_triplet_accuracy
from .neighborhoods import continuity, neighborhood_recall, trustworthiness
from .unwrapping import unwrapped


def make_embedding_scorer(score_func: Callable[..., float], **kwargs: Any) -> Callable[..., float]:
    """Make a scorer of a metric of rows and their positions, as ``sklearn.metrics.make_scorer`` does of predictions.

    The rows are those that the map is made of: in a pipeline, what the steps before it make of X. Of a search, it is
    the best estimator.

    Parameters
    ----------
    score_func : callable
        A function of this module, or another that answers with a number, the greater the better. It is given what its
        signature names of `X`, the rows; `embedding`, where they are mapped; `y`, their targets; `metric` and
        `metric_kwds`, the estimator's, or Euclidean, and so `output_metric`; and `device`, where the estimator is.
    **kwargs
        Further arguments of it, or others instead of those, such as ``n_neighbors=30`` or ``metric="cosine"``.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None)``, for a fitted estimator that has `transform`, such as `ParametricUMAP`, or a
        Pipeline that ends in one, or a search over one.

    Raises
    ------
    TypeError
        If `score_func` cannot be called.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import cross_val_score
    >>> from parametric_umap.metrics import make_embedding_scorer, trustworthiness
    >>> scorer = make_embedding_scorer(trustworthiness, n_neighbors=3)
    >>> cross_val_score(PCA(2), load_iris().data, scoring=scorer, cv=3).round(2)
    array([0.89, 0.92, 0.93])
    """
    if not callable(score_func):
        raise TypeError(
            "score_func must be a function of rows and where they are mapped, such as "
            f"parametric_umap.metrics.trustworthiness; got {score_func!r}."
        )
    if isinstance(score_func, partial):  # what it holds is kept, as what is given here
        kwargs = score_func.keywords | kwargs
    return _EmbeddingScorer(score_func, 1, kwargs, response_method="transform")


class _EmbeddingScorer(_BaseScorer):
    """scikit-learn's kind of scorer, so that it is also taken where a bare function is not, as by ScoringMonitor."""

    def __call__(self, estimator, X, y=None, **kwargs):
        """The score of a fitted estimator on rows."""
        return self._score(None, estimator, X, y, **kwargs)

    def _score(self, method_caller, estimator, X, y=None, **kwargs):
        before, estimator = unwrapped(estimator)
        if not hasattr(estimator, "transform"):
            raise TypeError(
                f"{self} needs an estimator that maps rows, or a Pipeline that ends in one; got {estimator}."
            )
        for step in before:
            X = step.transform(X)
        if y is None and "y" in signature(self._score_func).parameters:
            raise ValueError(f"{self} needs y; got None.")
        given = {"X": X, "embedding": estimator.transform(X), "y": y, "device": getattr(estimator, "device_", "cpu")}
        if "metric" not in self._kwargs | kwargs:
            given["metric"] = getattr(estimator, "metric", "euclidean")
            given["metric_kwds"] = getattr(estimator, "metric_kwds", None)
        given["output_metric"] = getattr(estimator, "output_metric", "euclidean")
        named = {name: given[name] for name in signature(self._score_func).parameters if name in given}
        return self._score_func(**named | self._kwargs | kwargs)

    def __repr__(self):
        kwargs = "".join(f", {name}={value!r}" for name, value in self._kwargs.items())
        name = getattr(self._score_func, "__name__", repr(self._score_func))
        return f"make_embedding_scorer({name}{kwargs})"


# The same sample for every estimator that is compared.
trustworthiness_scorer = make_embedding_scorer(trustworthiness, random_state=0)
continuity_scorer = make_embedding_scorer(continuity, random_state=0)
neighborhood_recall_scorer = make_embedding_scorer(neighborhood_recall, random_state=0)
knn_accuracy_scorer = make_embedding_scorer(knn_accuracy)
random_triplet_accuracy_scorer = make_embedding_scorer(random_triplet_accuracy, random_state=0)
distance_correlation_scorer = make_embedding_scorer(distance_correlation, random_state=0)
