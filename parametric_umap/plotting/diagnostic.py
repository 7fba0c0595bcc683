"""Where a map may err: points whose neighbours are false, and edges of the graph that it tears."""

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..containers import as_numpy
from ..estimator import ParametricUMAP
from ..metrics import local_trustworthiness
from ..metrics.unwrapping import unwrapped
from ..output_metrics import as_drawn
from ..typing import Rows, SparseMatrix
from .axes import framed_map
from .legend import color_bar
from .points import RASTERIZED_ABOVE, draw_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

MOST_ROWS = 5_000  # all distances between them are taken
MOST_EDGES = 100_000
WORST_ON_TOP = "RdYlBu"


class DiagnosticDisplay:
    """A map with the trustworthiness of each point, and the edges of the graph that it was made from.

    A point among false neighbours is red; a long edge joins neighbours that the map tore apart. It is recommended to
    use `from_estimator`.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, 2) or (n_samples, 3), float
        Positions.
    trustworthiness : ndarray of shape (n_samples,), float
        That of each point, as ``parametric_umap.metrics.local_trustworthiness`` gives it.
    graph : sparse array of shape (n_samples, n_samples), float, or None, default=None
        Weights from 0 to 1 of the edges between the points.

    Attributes
    ----------
    points_ : PathCollection or Path3DCollection
        The points, the least trustworthy on top.
    edges_ : LineCollection, Line3DCollection or None
        The edges, each as opaque as it is heavy; the heaviest 100,000 if there are more.
    colorbar_ : matplotlib Colorbar
        The scale of trustworthiness.
    ax_ : matplotlib Axes
        The axes, three-dimensional for three coordinates.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from parametric_umap import ParametricUMAP
    >>> from parametric_umap.plotting import DiagnosticDisplay
    >>> X = load_iris().data
    >>> umap = ParametricUMAP(n_epochs=2, batches_per_epoch=10, random_state=0).fit(X)
    >>> display = DiagnosticDisplay.from_estimator(umap, X)
    >>> display.trustworthiness.shape
    (150,)
    """

    points_: "PathCollection"
    edges_: "LineCollection | None"
    colorbar_: "Colorbar"
    ax_: "Axes"
    figure_: "Figure"

    def __init__(
        self,
        Z: NDArray[np.floating],
        trustworthiness: NDArray[np.floating],
        graph: SparseMatrix | None = None,
    ) -> None:
        self.Z = Z
        self.trustworthiness = trustworthiness
        self.graph = graph

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Rows, *, n_neighbors: int | None = None, ax: "Axes | None" = None
    ) -> Self:
        """Look at the map of rows, and draw what is found.

        Parameters
        ----------
        estimator : ParametricUMAP
            Fitted, with two or three coordinates; or a pipeline that ends in one, or a search over one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, fitted or not; at least five. Of more than 5,000, these are looked at, evenly spaced. Edges are drawn
            if X are the fitted rows, in the order in which they were fitted. In a pipeline, the rows that are looked at
            are those that the map is made of.
        n_neighbors : int or None, default=None
            Number of neighbours on the map that are looked at; None takes the estimator's, or fewer where there are
            less than twice as many rows.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : DiagnosticDisplay
            With the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `estimator` is another one, or `ax` something else.
        ValueError
            If `n_neighbors` is below 1 or not below half the number of rows looked at, or the map has other than two or
            three coordinates.
        NotFittedError
            If the estimator is not fitted.
        """
        before, estimator = unwrapped(estimator)
        if not isinstance(estimator, ParametricUMAP):
            raise TypeError(
                "estimator must be a ParametricUMAP, a pipeline that ends in one, or a fitted search over one; "
                f"got {estimator!r}."
            )
        check_is_fitted(estimator)
        for step in before:
            X = step.transform(X)
        embedding = np.asarray(as_numpy(estimator.transform(X)))
        X = as_numpy(estimator._validated(X, reset=False, ensure_min_samples=5))
        rows = np.linspace(0, X.shape[0] - 1, min(X.shape[0], MOST_ROWS)).astype(int)
        most = (len(rows) - 1) // 2
        n_neighbors = min(estimator.n_neighbors, most) if n_neighbors is None else n_neighbors
        if not (isinstance(n_neighbors, Integral) and 1 <= n_neighbors <= most):
            raise ValueError(
                f"n_neighbors must be a whole number from 1 to {most} for {len(rows)} rows; got {n_neighbors!r}."
            )
        trustworthiness = local_trustworthiness(
            X[rows],
            embedding[rows],
            n_neighbors=n_neighbors,
            metric=estimator.metric,
            metric_kwds=estimator.metric_kwds,
            output_metric=estimator.output_metric,
            device=estimator.device_,
        )
        graph = estimator.graph_[rows][:, rows] if _is_fitted_to(estimator, embedding) else None
        return cls(as_drawn(embedding[rows], estimator.output_metric), trustworthiness, graph).plot(ax=ax)

    def plot(self, *, ax: "Axes | None" = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : DiagnosticDisplay
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        ValueError
            If `ax` is not for as many coordinates.
        """
        with framed_map(self.Z.shape[1], ax) as self.ax_:
            from matplotlib.cm import ScalarMappable
            from matplotlib.colors import Normalize

            self.figure_ = cast("Figure", self.ax_.figure)
            self.edges_ = None if self.graph is None else _draw_edges(self.ax_, self.Z, self.graph)
            # A few points that are worse than all others must not take the whole scale.
            lowest = min(np.quantile(self.trustworthiness, 0.02), 0.99)
            scale = ScalarMappable(Normalize(lowest, 1), WORST_ON_TOP)
            worst_last = np.argsort(-self.trustworthiness)
            self.points_ = draw_points(self.ax_, self.Z, scale.to_rgba(self.trustworthiness), order=worst_last)
            self.colorbar_ = color_bar(self.ax_, scale, label="local trustworthiness", extend="min")
        return self


def _is_fitted_to(estimator, embedding):
    """Whether these are the points of the fitted rows, between which the graph has its edges."""
    fitted = estimator.embedding_
    return len(embedding) == estimator.graph_.shape[0] == len(fitted) and np.allclose(embedding, fitted, atol=1e-3)


def _draw_edges(ax, Z, graph):
    """Draw every edge once, as opaque as it is heavy."""
    from matplotlib.collections import LineCollection

    edges = sp.triu(graph, k=1).tocoo()
    heaviest = np.argsort(-edges.data)[:MOST_EDGES]
    segments = np.stack([Z[edges.row[heaviest]], Z[edges.col[heaviest]]], axis=1)
    colors = np.zeros((len(segments), 4))
    colors[:, 3] = 0.5 * edges.data[heaviest] * min(1, (2_000 / max(len(segments), 1)) ** 0.3)
    look = dict(colors=colors, linewidths=0.5, rasterized=len(segments) > RASTERIZED_ABOVE, zorder=0.5)
    if Z.shape[1] == 2:
        return ax.add_collection(LineCollection(segments, **look))
    from mpl_toolkits.mplot3d.art3d import Line3DCollection

    return ax.add_collection3d(Line3DCollection(segments, **look))
