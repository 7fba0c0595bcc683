"""What lies inside pipelines and searches."""

from typing import Any

from sklearn.pipeline import Pipeline


def unwrapped(estimator: Any) -> tuple[list[Any], Any]:
    """Find the estimator that maps rows.

    Parameters
    ----------
    estimator : estimator
        Such a one, or a Pipeline that ends in one, or a fitted search over one, such as a GridSearchCV; also one in
        another.

    Returns
    -------
    before : list of transformers
        What rows go through before they reach it, in that order.
    estimator : estimator
        The innermost.
    """
    before = []
    while True:
        if isinstance(estimator, Pipeline):
            before += [estimator[:-1]] if len(estimator) > 1 else []
            estimator = estimator[-1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return before, estimator
