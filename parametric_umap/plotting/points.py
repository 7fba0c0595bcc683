"""Points: how large and how opaque, by how many there are."""

import numpy as np

# Chosen by eye on maps of 200 to 200,000 points, on a square of this side.
SQUARE = 5.5 * 72  # typographic points
SIZE, SIZE_EXPONENT = 32.0, -0.57
ALPHA, ALPHA_EXPONENT = 0.9, -0.1
FEW = 200
# Around smaller points an outline would hide the colour; in square typographic points.
OUTLINED_ABOVE = 4.0
# A vector picture of more points is slow to show.
RASTERIZED_ABOVE = 5_000


def point_size(n_points, side=SQUARE):
    """Choose the area of a point.

    Parameters
    ----------
    n_points : int
        Number of points drawn together.
    side : float, default=SQUARE
        Side of the square that they are drawn on, in typographic points.

    Returns
    -------
    size : float
        In square typographic points, as matplotlib takes it. It falls more slowly than the number of points rises:
        many points make denser groups, not larger ones.
    """
    return SIZE * (max(n_points, FEW) / FEW) ** SIZE_EXPONENT * (side / SQUARE) ** 2


def point_alpha(n_points):
    """Choose the opacity of a point.

    Parameters
    ----------
    n_points : int
        Number of points drawn together.

    Returns
    -------
    alpha : float
        From 0 to 1.
    """
    return ALPHA * (max(n_points, FEW) / FEW) ** ALPHA_EXPONENT


def random_order(n_points):
    """An order of drawing in which no class lies on top of another.

    Parameters
    ----------
    n_points : int
        Number of points.

    Returns
    -------
    order : ndarray of shape (n_points,), int64
        The same for the same number.
    """
    return np.random.RandomState(0).permutation(n_points)


def draw_points(ax, Z, colors, *, n_points=None, order=None, enlarged=1.0, alpha=None, outline="none"):
    """Draw points on axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Of as many dimensions as points have coordinates.
    Z : ndarray of shape (n_drawn, 2) or (n_drawn, 3), float
        Positions.
    colors : ndarray of shape (n_drawn, 4), float
        Red, green, blue and opacity of each, from 0 to 1.
    n_points : int or None, default=None
        Number of points of the whole picture, if there are more than these.
    order : ndarray of shape (n_drawn,), int, or None, default=None
        In which they are drawn, the last on top; None takes a random one.
    enlarged : float, default=1.0
        Factor of their area.
    alpha : float or None, default=None
        Their opacity; None chooses it.
    outline : color, default="none"
        Of a thin line round every point, if points are large enough for one.

    Returns
    -------
    points : PathCollection or Path3DCollection
        The points, in that order; pixels in a vector picture if the whole picture holds many.
    """
    n_points = len(Z) if n_points is None else n_points
    order = random_order(len(Z)) if order is None else order
    box = ax.get_window_extent()
    size = enlarged * point_size(n_points, min(box.width, box.height) * 72 / ax.figure.dpi)
    return ax.scatter(
        *Z[order].T,
        c=colors[order],
        s=size,
        alpha=point_alpha(n_points) if alpha is None else alpha,
        edgecolors=outline if size > OUTLINED_ABOVE else "none",
        linewidths=0.1 * np.sqrt(size),
        rasterized=n_points > RASTERIZED_ABOVE,
    )
