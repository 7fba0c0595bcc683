"""The weighted graph of the rows: which are neighbours, and how strongly."""

from .fuzzy import fuzzy_graph, fuzzy_simplicial_set, membership_strengths, smooth_knn_dist
from .sparse import Graph

__all__ = ["Graph", "fuzzy_graph", "fuzzy_simplicial_set", "membership_strengths", "smooth_knn_dist"]
