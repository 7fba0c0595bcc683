"""Pictures: maps on paper and in a browser, loss curves, and what to look at where a map may err.

Nothing here needs matplotlib or plotly before it draws.
"""

from .diagnostic import DiagnosticDisplay
from .embedding import EmbeddingDisplay
from .loss_curve import LossCurveDisplay

__all__ = ["DiagnosticDisplay", "EmbeddingDisplay", "LossCurveDisplay"]
