"""The spectral embedding of a graph: the positions that the network learns first."""

from .eigenmap import laplacian_eigenmap
from .layout import layout_of, spectral_layout, standardize

__all__ = ["laplacian_eigenmap", "layout_of", "spectral_layout", "standardize"]
