"""The losses of a fit, epoch by epoch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..metrics.unwrapping import unwrapped
from .axes import INK, check_axes, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# The decoder's loss on the rows it was trained on and on others belongs together; the phases' are of different kinds.
TOGETHER = {"reconstruction_validation": "reconstruction"}


class LossCurveDisplay:
    """The loss of each training phase over its epochs, in one panel each.

    It is recommended to use `from_estimator`.

    Parameters
    ----------
    loss_curve : dict of {str: ndarray of shape (n_epochs,), float}
        As `ParametricUMAP.loss_curve_`: the mean loss of each epoch, by the name of the phase.

    Attributes
    ----------
    lines_ : dict of {str: Line2D}
        The curves, by the same names; a phase without epochs has none.
    axes_ : dict of {str: matplotlib Axes}
        The panels, by the name of the phase. A decoder's loss on rows it was not trained on is in that of the others.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from sklearn.datasets import load_iris
    >>> from parametric_umap import ParametricUMAP
    >>> from parametric_umap.plotting import LossCurveDisplay
    >>> umap = ParametricUMAP(n_epochs=2, batches_per_epoch=10, random_state=0).fit(load_iris().data)
    >>> list(LossCurveDisplay.from_estimator(umap).lines_)
    ['spectral_init', 'main_embedding']
    """

    lines_: "dict[str, Line2D]"
    axes_: "dict[str, Axes]"
    figure_: "Figure"

    def __init__(self, loss_curve: Mapping[str, NDArray[np.floating]]) -> None:
        self.loss_curve = loss_curve

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: "Axes | None" = None) -> Self:
        """Draw the losses of a fit.

        Parameters
        ----------
        estimator : ParametricUMAP
            Fitted, or a pipeline that ends in one, or a search over one.
        ax : matplotlib Axes or None, default=None
            Where to draw: its place is divided among the phases. None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            With the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        NotFittedError
            If the estimator is not fitted.
        """
        _, estimator = unwrapped(estimator)
        check_is_fitted(estimator, "loss_curve_")
        return cls(estimator.loss_curve_).plot(ax=ax)

    def plot(self, *, ax: "Axes | None" = None) -> Self:
        """Draw the losses.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw: its place is divided among the phases. None makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            Itself, with the artists as attributes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else, such as a figure.
        """
        check_axes(ax)
        curves = {name: losses for name, losses in self.loss_curve.items() if len(losses)}
        phases = [name for name in curves if name not in TOGETHER]
        if ax is None:
            self.figure_, panels = pyplot().subplots(
                1, len(phases), figsize=(3.6 * len(phases), 3.2), layout="constrained", squeeze=False
            )
            panels = panels[0]
        else:
            self.figure_, panels = cast("Figure", ax.figure), _divided(ax, len(phases))
        self.axes_ = dict(zip(phases, panels, strict=True))
        self.lines_ = {}
        for name, losses in curves.items():
            panel = self.axes_[TOGETHER.get(name, name)]
            label = "other rows" if name in TOGETHER else "fitted rows"
            epochs = np.arange(1, len(losses) + 1)
            (self.lines_[name],) = panel.plot(epochs, losses, marker=".", markersize=4, label=label)
        for name, panel in self.axes_.items():
            panel.set_title(name, loc="left", fontsize=11, color=INK)
            panel.set(xlabel="epoch", ylabel="mean loss" if panel is panels[0] else None)
            panel.locator_params(axis="x", integer=True, min_n_ticks=1)
            panel.spines[["top", "right"]].set_visible(False)
            if len(panel.lines) > 1:
                panel.legend(frameon=False)
        return self


def _divided(ax, n_panels, gap=0.22):
    """Axes beside each other in the place of one."""
    ax.set_axis_off()
    width = 1 / (n_panels + gap * (n_panels - 1))
    return [ax.inset_axes([panel * width * (1 + gap), 0, width, 1]) for panel in range(n_panels)]
