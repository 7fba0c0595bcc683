"""Parametric UMAP: a neural network learns the map, so that new points are mapped by one forward pass."""

from .estimator import ParametricUMAP
from .plotting import DiagnosticDisplay, EmbeddingDisplay, LossCurveDisplay

__version__ = "0.1.0.dev0"
__all__ = ["DiagnosticDisplay", "EmbeddingDisplay", "LossCurveDisplay", "ParametricUMAP", "__version__"]
