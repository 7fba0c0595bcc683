"""The k nearest neighbours of every row: found by a search, or given by the user."""

from .distances import row_distances
from .found import Neighbors
from .given import checked_knn, neighbors_of_distances
from .metrics import METRICS, SPARSE_METRICS, check_metric
from .search import drop_distant, find_neighbors, nearest_neighbors
from .unique import unique_rows

__all__ = [
    "METRICS",
    "SPARSE_METRICS",
    "Neighbors",
    "check_metric",
    "checked_knn",
    "drop_distant",
    "find_neighbors",
    "nearest_neighbors",
    "neighbors_of_distances",
    "row_distances",
    "unique_rows",
]
