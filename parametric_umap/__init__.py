"""Parametric UMAP: a neural network learns the map, so that new points are mapped by one forward pass."""

from .estimator import ParametricUMAP

__version__ = "0.1.0.dev0"
__all__ = ["ParametricUMAP", "__version__"]
