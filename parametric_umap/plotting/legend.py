"""The key of a map: the names of classes beside it, and as marks on it where they are many; the scale of numbers."""

import numpy as np

from .axes import FRAME, INK

UNMARKED_CLASSES = 10  # as many colours are told apart without a mark
LONGEST_MARK = 3
LONGEST_ENTRY = 48
ROWS = 25


def marks(names):
    """Choose what stands for each class on the map.

    Parameters
    ----------
    names : list of str
        The classes.

    Returns
    -------
    marks : list of str
        Nothing for up to ten classes; the names where all are short; else numbers from 1 on.
    """
    if len(names) <= UNMARKED_CLASSES:
        return []
    if max(map(len, names)) <= LONGEST_MARK:
        return names
    return [str(number) for number in range(1, len(names) + 1)]


def mark_classes(ax, Z, codes, marked):
    """Write the mark of each class in its middle: at the point that lies nearest to its median.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with the map.
    Z : ndarray of shape (n_points, 2) or (n_points, 3), float
        Positions.
    codes : ndarray of shape (n_points,), int
        The class of each point.
    marked : list of str
        The mark of each class.

    Returns
    -------
    labels : list of Text
        One for each class.
    """
    from matplotlib.patheffects import withStroke

    labels = []
    for code, mark in enumerate(marked):
        points = Z[codes == code]
        middle = points[np.linalg.norm(points - np.median(points, axis=0), axis=1).argmin()]
        look = dict(ha="center", va="center", fontsize=9, fontweight="bold", color=INK, zorder=5)
        label = ax.text(*middle, mark, **look, parse_math=False)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
        labels.append(label)
    return labels


def beside(ax, entries, colors):
    """Draw a legend to the right of the axes, in as many columns as it needs.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with the map.
    entries : list of str
        What it says.
    colors : ndarray of shape (n_entries, 4), float
        The colour of each.

    Returns
    -------
    legend : Legend
        All entries, long ones without their middle.
    """
    legend = ax.legend(
        [_dot(color) for color in colors],
        [_shortened(entry) for entry in entries],
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        ncols=-(-len(entries) // ROWS),
        fontsize=10 if len(entries) <= ROWS else 8.5,
        frameon=False,
        labelcolor=INK,
        handlelength=0.8,
        handletextpad=0.5,
        columnspacing=1.2,
        borderaxespad=0.3,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar in a name is one
    return legend


def color_bar(ax, scale, **options):
    """Draw the scale of numbers to the right of the axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with the map.
    scale : ScalarMappable
        The numbers' range and colours.
    **options : dict
        Further arguments of ``Figure.colorbar``.

    Returns
    -------
    bar : Colorbar
    """
    place = ax.inset_axes([1.02, 0.15, 0.025, 0.7])
    bar = ax.figure.colorbar(scale, cax=place, **options)
    bar.outline.set_visible(False)
    bar.ax.tick_params(color=FRAME, labelcolor=INK)
    bar.ax.yaxis.label.set_color(INK)
    return bar


def explain_unseen(ax, faded, outlined):
    """Draw a legend of seen and unseen points below the axes, which leaves the one beside them.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with the map.
    faded : float
        The opacity of seen points.
    outlined : bool
        Whether unseen points have an outline.

    Returns
    -------
    legend : Legend
    """
    from matplotlib.legend import Legend

    unseen = {"markerfacecolor": FRAME, "markeredgewidth": 1.0} if outlined else {}
    dots = [_dot(INK, alpha=faded), _dot(INK, **unseen)]
    place = dict(loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=0.3, bbox_transform=ax.transAxes)
    style = dict(frameon=False, labelcolor=INK, handlelength=0.8, handletextpad=0.5, ncols=2)
    legend = Legend(ax, dots, ["seen", "unseen"], **place, **style)
    ax.add_artist(legend).set_clip_on(False)  # so that layouts leave it room
    return legend


def _shortened(entry):
    """An entry without its middle if it is long: what tells names apart is at their beginning or at their end."""
    if len(entry) <= LONGEST_ENTRY:
        return entry
    return f"{entry[: LONGEST_ENTRY // 2]}…{entry[1 - LONGEST_ENTRY // 2 :]}"


def _dot(color, **look):
    from matplotlib.lines import Line2D

    plain = dict(linestyle="none", marker="o", markersize=7, markeredgewidth=0)
    return Line2D([], [], color=color, **plain | look)
