"""The weighted graph of the rows: which are neighbours, and how strongly."""

from .fuzzy import (
    directed_memberships,
    fuzzy_graph,
    fuzzy_simplicial_set,
    joined,
    membership_strengths,
    smooth_knn_dist,
)
from .sparse import Graph

__all__ = [
    "Graph",
    "directed_memberships",
    "fuzzy_graph",
    "fuzzy_simplicial_set",
    "joined",
    "membership_strengths",
    "smooth_knn_dist",
]
