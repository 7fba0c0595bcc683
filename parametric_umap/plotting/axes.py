"""The axes of a map: square, framed, and without ticks, since coordinates of a map have no meaning."""

from contextlib import contextmanager

SIDE, PADDING, TITLE = 6.0, 0.1, 0.25  # of a new map, around it, and of the room for a title, in inches
INK = "#333333"
FRAME = "#cccccc"


def pyplot():
    """Import matplotlib.pyplot.

    Returns
    -------
    pyplot : module

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'torch-parametric-umap[plot]'.") from error
    return plt


def check_n_components(n_components):
    """Refuse maps that are neither flat nor in space.

    Parameters
    ----------
    n_components : int
        Number of coordinates of a point.

    Raises
    ------
    ValueError
        If it is neither 2 nor 3.
    """
    if n_components not in (2, 3):
        raise ValueError(f"n_components must be 2 or 3 for a map to be drawn; got {n_components} coordinates.")


def check_axes(ax):
    """Refuse what is not one pair of axes.

    Parameters
    ----------
    ax : object
        What a user gave.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If it is neither matplotlib's Axes nor None, but a figure, or an array of axes.
    """
    if not isinstance(ax, pyplot().Axes | None):
        raise TypeError(f"ax must be a matplotlib Axes, or None; got {type(ax).__name__}.")


def map_axes(n_components, ax=None):
    """Take the axes that are given, or make some.

    Parameters
    ----------
    n_components : int
        Number of coordinates of a point.
    ax : matplotlib Axes or None, default=None
        The axes given; None makes a figure for them.

    Returns
    -------
    ax : matplotlib Axes
        Three-dimensional where points have three coordinates.

    Raises
    ------
    TypeError
        If `ax` is something else, such as a figure.
    ValueError
        If there are other than two or three coordinates, or `ax` is for another number of them.
    """
    check_axes(ax)
    check_n_components(n_components)
    projection = "3d" if n_components == 3 else "rectilinear"
    if ax is None:
        return pyplot().figure(figsize=(SIDE, SIDE)).add_axes([0, 0, 1, 1], projection=projection)
    if ax.name != projection:
        raise ValueError(f"ax must have the projection {projection!r} for {n_components} coordinates; got {ax.name!r}.")
    return ax


@contextmanager
def framed_map(n_components, ax=None):
    """Draw a map within: it is framed afterwards, and a new figure gets as large as what is on it.

    Parameters
    ----------
    n_components, ax
        As of `map_axes`, which also says what is raised.

    Yields
    ------
    ax : matplotlib Axes
        Where to draw. If that fails, a new figure is closed.
    """
    drawn = map_axes(n_components, ax)
    try:
        yield drawn
        frame(drawn)
        if ax is None:
            fit_figure(drawn)
    except BaseException:
        if ax is None:
            pyplot().close(drawn.figure)
        raise


def frame(ax):
    """Show all points, with equal units along all axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with a map on them.
    """
    if ax.name == "3d":
        ax.set(xticks=[], yticks=[], zticks=[], aspect="equal")
        for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
            axis.line.set_color(FRAME)
        return
    (x_low, y_low), (x_high, y_high) = ax.dataLim.min, ax.dataLim.max
    reach = 0.53 * max(x_high - x_low, y_high - y_low, 1e-9)
    x, y = (x_low + x_high) / 2, (y_low + y_high) / 2
    ax.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach), xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set(color=FRAME, linewidth=0.8)


def fit_figure(ax):
    """Make a figure of one map as large as what is drawn: the map keeps its size, and its key gets the room it needs.

    Parameters
    ----------
    ax : matplotlib Axes
        The only axes of their figure.
    """
    figure = ax.figure
    place, drawn = (box.transformed(figure.dpi_scale_trans.inverted()) for box in (ax.bbox, ax.get_tightbbox()))
    width, height = drawn.width + 2 * PADDING, drawn.height + 2 * PADDING + TITLE
    figure.set_size_inches(width, height)
    left, bottom = place.x0 - drawn.x0 + PADDING, place.y0 - drawn.y0 + PADDING
    ax.set_position([left / width, bottom / height, place.width / width, place.height / height])
