"""A map as a picture, and as a page to look around in."""

from os import PathLike
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array

from ..containers import as_numpy, refuse_masked
from ..metrics.input import one_column
from ..metrics.unwrapping import unwrapped
from ..output_metrics import as_drawn
from ..typing import Rows
from .axes import INK, framed_map
from .legend import explain_unseen
from .page import write_page
from .points import draw_points
from .targets import as_target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

# Where points of unseen rows are highlighted: how opaque the others stay, and how much larger these are.
FADED, ENLARGED = 0.25, 1.4


class EmbeddingDisplay:
    """A map of points, coloured by their targets.

    It is recommended to use `from_estimator` or `from_embedding`, which check what they are given, and draw. Size and
    opacity of the points follow from how many there are; they are drawn in random order, so that no class hides
    another, and from 5,000 on as pixels, also in vector formats.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, 2) or (n_samples, 3), float
        Positions.
    y : array-like of shape (n_samples,) or None, default=None
        Targets. Text, booleans and whole numbers are classes, as scikit-learn's `type_of_target` has it, and numbers
        otherwise, as are whole ones of more than 100 values. Points of unknown ones are grey: -1, NaN and None among
        classes, NaN among numbers.
    unseen : array-like of shape (n_samples,), bool, or None, default=None
        Which rows are highlighted, such as those that were not fitted.

    Attributes
    ----------
    points_ : PathCollection or Path3DCollection
        The points, but for those highlighted.
    unseen_points_ : PathCollection, Path3DCollection or None
        Those.
    legend_ : matplotlib Legend or None
        The classes, sorted, where they are at most 100.
    labels_ : list of Text
        The classes' marks on the map, where they are more than ten: their names, or their numbers in the legend.
    colorbar_ : matplotlib Colorbar or None
        The scale of numbers.
    ax_ : matplotlib Axes
        The axes, three-dimensional for three coordinates.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    DiagnosticDisplay : Where the map may err.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from parametric_umap import ParametricUMAP
    >>> from parametric_umap.plotting import EmbeddingDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> umap = ParametricUMAP(n_epochs=2, batches_per_epoch=10, random_state=0).fit(X)
    >>> display = EmbeddingDisplay.from_estimator(umap, X, y)
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['0', '1', '2']
    >>> display.figure_.savefig("iris.png")
    """

    points_: "PathCollection"
    unseen_points_: "PathCollection | None"
    legend_: "Legend | None"
    labels_: "list[Text]"
    colorbar_: "Colorbar | None"
    ax_: "Axes"
    figure_: "Figure"

    def __init__(self, Z: NDArray[np.floating], y: ArrayLike | None = None, *, unseen: ArrayLike | None = None) -> None:
        self.Z = Z
        self.y = y
        self.unseen = unseen

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Rows,
        y: ArrayLike | None = None,
        *,
        unseen: ArrayLike | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Map rows, and draw them.

        Parameters
        ----------
        estimator : ParametricUMAP
            Fitted, or another transformer that gives two or three coordinates, a pipeline that ends in one, or a search
            over one. Maps on a sphere are drawn in three dimensions, those in the hyperbolic plane as a disk.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, fitted or not.
        y : array-like of shape (n_samples,) or None, default=None
            Targets, as for the class.
        unseen : array-like of shape (n_samples,), bool, or None, default=None
            Which rows are highlighted.
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        display : EmbeddingDisplay
            With the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        ValueError
            If the map has other than two or three coordinates, or `y`, `unseen` or `ax` does not fit it.
        """
        Z = np.asarray(as_numpy(estimator.transform(X)))
        output_metric = getattr(unwrapped(estimator)[1], "output_metric", "euclidean")
        return cls.from_embedding(as_drawn(Z, output_metric), y, unseen=unseen, ax=ax)

    @classmethod
    def from_embedding(
        cls,
        Z: ArrayLike,
        y: ArrayLike | None = None,
        *,
        unseen: ArrayLike | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Draw points.

        Parameters
        ----------
        Z : array-like of shape (n_samples, 2) or (n_samples, 3)
            Positions.
        y, unseen, ax
            As for `from_estimator`.

        Returns
        -------
        display : EmbeddingDisplay
            With the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        ValueError
            If `Z` has other than two or three columns, or is not finite, or `y`, `unseen` or `ax` does not fit it.
        """
        refuse_masked(Z=Z)
        Z = check_array(as_numpy(Z), dtype=[np.float32, np.float64], input_name="Z")
        return cls(Z, y, unseen=unseen).plot(ax=ax)

    def plot(self, *, ax: "Axes | None" = None) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None makes a figure with room for the legend. In one of yours, the layout "constrained"
            leaves it room.

        Returns
        -------
        display : EmbeddingDisplay
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        ValueError
            If `ax` is not for as many coordinates, or `y` or `unseen` does not fit the points.
        """
        target, unseen = as_target(self.y, len(self.Z)), _as_mask(self.unseen, len(self.Z))
        with framed_map(self.Z.shape[1], ax) as self.ax_:
            self.figure_ = cast("Figure", self.ax_.figure)
            self._draw_points(target.colors(), unseen)
            key = {"legend_": None, "labels_": [], "colorbar_": None} | target.draw_key(self.ax_, self.Z)
            vars(self).update(key)
        return self

    def _draw_points(self, colors, unseen):
        if unseen is None:
            self.points_, self.unseen_points_ = draw_points(self.ax_, self.Z, colors), None
            return
        n_points = len(self.Z)
        self.points_ = draw_points(self.ax_, self.Z[~unseen], colors[~unseen], n_points=n_points, alpha=FADED)
        look = {"enlarged": ENLARGED, "alpha": 1.0, "outline": INK}
        self.unseen_points_ = draw_points(self.ax_, self.Z[unseen], colors[unseen], n_points=n_points, **look)
        explain_unseen(self.ax_, FADED, outlined=len(self.unseen_points_.get_edgecolors()) > 0)

    def to_html(
        self, path: str | PathLike[str], *, images: ArrayLike | None = None, text: ArrayLike | None = None
    ) -> None:
        """Write the map as a page to look around in: one file, which needs no network.

        The wheel zooms, dragging moves, a click on a class hides it, and a double click shows it alone. Pointing at a
        point shows its target, its row, its text and its image.

        Parameters
        ----------
        path : str or path-like
            The file, of about 5 MB and what the points need; it is written whole or not at all.
        images : array-like of shape (n_samples, height, width) or (n_samples, height, width, 3), default=None
            A picture of each row. uint8 values are drawn as they are, others from black at the least to white at the
            largest; pictures of more than 64 pixels are reduced.
        text : array-like of shape (n_samples,), default=None
            What is said of each row.

        Raises
        ------
        ImportError
            If plotly is not installed.
        ValueError
            If `images`, `text`, `y` or `unseen` is not one for each point.
        """
        target, unseen = as_target(self.y, len(self.Z)), _as_mask(self.unseen, len(self.Z))
        write_page(path, self.Z, target, unseen=unseen, images=images, text=text)


def _as_mask(unseen, n_points):
    if unseen is None:
        return None
    unseen = one_column(unseen, "unseen")
    if unseen.dtype == object:  # as booleans of pandas may become
        unseen = np.array(unseen.tolist())
    if unseen.dtype != bool or len(unseen) != n_points:
        raise ValueError(
            f"unseen must hold {n_points} booleans, one for each point; got {len(unseen)} of {unseen.dtype}."
        )
    return unseen
