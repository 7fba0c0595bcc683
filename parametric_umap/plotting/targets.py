"""What colours the points: labels, numbers, or nothing. Each gives the points' colours, and draws its own key."""

from dataclasses import dataclass

import numpy as np
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from ..containers import as_numpy
from ..supervision import labels_as_codes
from .legend import beside, color_bar, mark_classes, marks
from .palette import UNKNOWN, palette

# Integers of more values than this are quantities: no legend could list them.
MOST_CLASSES = 100
COLORMAP = "viridis"


def as_target(y, n_points):
    """Decide whether targets are classes or numbers.

    Parameters
    ----------
    y : array-like of shape (n_points,) or None
        Targets. Text, booleans and whole numbers are classes, as for ``sklearn.utils.multiclass.type_of_target``, other
        numbers are not; nor are whole ones of more than 100 values. Of classes -1, NaN and None are unknown, of numbers
        NaN.
    n_points : int
        Number of points.

    Returns
    -------
    target : Classes, Numbers or Unlabelled

    Raises
    ------
    ValueError
        If y has another length, more than one column, holds infinity, or is neither text nor numbers; the message says
        which.
    """
    if y is None:
        return Unlabelled(n_points)
    y = as_numpy(y)
    if not isinstance(y, np.ndarray) and getattr(getattr(y, "dtype", None), "kind", None) == "b":
        y = np.asarray(y, dtype=object)  # booleans of pandas, which scikit-learn would make numbers of
    y = column_or_1d(y)
    if len(y) != n_points:
        raise ValueError(f"y must hold one target for each of the {n_points} points; got {len(y)}.")
    if y.dtype.kind not in "biufOUST":
        raise ValueError(f"y must hold labels or numbers; got the dtype {y.dtype}.")
    if y.dtype.kind in "iuf":
        if np.isinf(y).any():
            raise ValueError("y must not hold infinity; NaN stands for an unknown target.")
        known = y[~np.isnan(y)]
        if type_of_target(known) == "continuous" or len(np.unique(known)) > MOST_CLASSES:
            return Numbers(y.astype(np.float64))
    return Classes.of(y)


@dataclass(frozen=True)
class Unlabelled:
    """Points without targets, all of one colour."""

    n_points: int

    def colors(self):
        return np.repeat(palette(1), self.n_points, axis=0)

    def draw_key(self, ax, Z):
        return {}

    def parts(self):
        yield np.arange(self.n_points), "", {"color": _hex(palette(1)[0])}


@dataclass(frozen=True)
class Classes:
    """Points of classes.

    Parameters
    ----------
    codes : ndarray of shape (n_points,), int64
        The class of each point, -1 where it is unknown.
    names : list of str
        The classes, sorted.
    """

    codes: np.ndarray
    names: list

    @classmethod
    def of(cls, y):
        codes = labels_as_codes(y)
        found, first = np.unique(codes, return_index=True)
        labels = {code: y[row] for code, row in zip(found.tolist(), first, strict=True) if code >= 0}
        try:
            order = sorted(labels, key=labels.get)
        except TypeError:  # labels of several types
            order = sorted(labels, key=lambda code: str(labels[code]))
        places = np.full(len(order) + 1, -1)  # the last is that of code -1
        places[order] = np.arange(len(order))
        return cls(places[codes], [_name(labels[code]) for code in order])

    def colors(self):
        """Red, green, blue and opacity of every point: ndarray of shape (n_points, 4), float64."""
        return np.vstack([palette(len(self.names)), UNKNOWN])[self.codes]

    def draw_key(self, ax, Z):
        """Draw a legend, and the classes' marks on the map where colours alone would not tell them apart."""
        if len(self.names) > MOST_CLASSES:
            return {}
        colors, entries, drawn = palette(len(self.names)), self.names, {}
        if marked := marks(self.names):
            drawn["labels_"] = mark_classes(ax, Z, self.codes, marked)
            if marked != self.names:
                entries = [f"{mark}  {name}" for mark, name in zip(marked, self.names, strict=True)]
        if (self.codes < 0).any():
            colors, entries = np.vstack([colors, UNKNOWN]), [*entries, "unknown"]
        return {**drawn, "legend_": beside(ax, entries, colors)}

    def parts(self):
        """The rows, the name and the plotly marker of each class, the unknown first, since they are least."""
        if (self.codes < 0).any():
            yield np.flatnonzero(self.codes < 0), "unknown", {"color": _hex(UNKNOWN)}
        for code, (name, color) in enumerate(zip(self.names, palette(len(self.names)), strict=True)):
            yield np.flatnonzero(self.codes == code), name, {"color": _hex(color)}


@dataclass(frozen=True)
class Numbers:
    """Points with numbers.

    Parameters
    ----------
    values : ndarray of shape (n_points,), float64
        NaN where it is unknown; some are known.
    """

    values: np.ndarray

    def _mappable(self):
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        return ScalarMappable(Normalize(np.nanmin(self.values), np.nanmax(self.values)), COLORMAP)

    def colors(self):
        """Red, green, blue and opacity of every point: ndarray of shape (n_points, 4), float64."""
        colors = self._mappable().to_rgba(np.nan_to_num(self.values))
        colors[np.isnan(self.values)] = UNKNOWN
        return colors

    def draw_key(self, ax, Z):
        """Draw a colour bar."""
        return {"colorbar_": color_bar(ax, self._mappable())}

    def parts(self):
        """The rows, the name and the plotly marker of the unknown, and of the others."""
        unknown = np.isnan(self.values)
        if unknown.any():
            yield np.flatnonzero(unknown), "unknown", {"color": _hex(UNKNOWN)}
        known = self.values[~unknown]
        scale = {"colorscale": COLORMAP, "cmin": known.min(), "cmax": known.max(), "showscale": True}
        yield np.flatnonzero(~unknown), "", {"color": known, **scale}


def _name(label):
    """A label as it is read: whole numbers without a point."""
    return f"{label:g}" if isinstance(label, float | np.floating) else str(label)


def _hex(color):
    from matplotlib.colors import to_hex

    return to_hex(color)
