"""The types of the public API, for annotations: what a type checker knows of rows, metrics, modules and seeds."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "FloatArray",
    "MakesModule",
    "Matrix",
    "Metric",
    "OutputMetric",
    "Rows",
    "Seed",
    "SparseMatrix",
    "TensorLoss",
    "keeps_signature",
]


class SparseMatrix(Protocol):
    """What scipy's sparse matrices and arrays have in common; scipy itself is not typed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def tocsr(self) -> Any: ...


Rows = ArrayLike | SparseMatrix
Matrix = NDArray[np.floating] | sp.csr_matrix | sp.csr_array
FloatArray = NDArray[np.float32]
Metric = str | Callable[..., Any]
OutputMetric = Literal["euclidean", "haversine", "hyperboloid"]
MakesModule = Callable[[int, int], torch.nn.Module]
TensorLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Seed = int | np.random.RandomState | None

Function = TypeVar("Function", bound=Callable[..., Any])


def keeps_signature(decorator: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """Tell a type checker that what a decorator gives is called as what it is given.

    Parameters
    ----------
    decorator : callable
        One of scikit-learn's, which have no types.

    Returns
    -------
    decorator : callable
        The same.
    """
    return decorator
