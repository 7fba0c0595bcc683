"""A body of surfaces in three dimensions: dense and smooth, with thin parts, as a scan of an animal has."""

import numpy as np


def surfaces(seed=5):
    """Draw points of a trunk, a head, four legs, a nose, two tusks and a tail.

    Parameters
    ----------
    seed : int, default=5
        Of the points.

    Returns
    -------
    X : ndarray of shape (16_500, 3), float64
        Points, with noise of 0.01.
    y : ndarray of shape (16_500,), int64
        Which tenth of the height each is in.
    """
    random = np.random.RandomState(seed)
    parts = [_ellipsoid(random, (0, 0, 0), (3, 1.5, 1.6), 5000), _ellipsoid(random, (3.6, 0, 1.2), (1, 0.9, 1), 2000)]
    for x in (-2, 2):
        for y in (-0.8, 0.8):
            parts.append(_tube(random, lambda t, x=x, y=y: _leg(t, x, y), 0.45, 0.15, 1500))
    parts.append(_tube(random, _nose, 0.3, 0.2, 1200))
    for side in (-1, 1):
        parts.append(_tube(random, lambda t, side=side: _tusk(t, side), 0.15, 0.1, 900))
    parts.append(_tube(random, _tail, 0.12, 0.08, 500))
    X = np.concatenate(parts)
    X += 0.01 * random.randn(*X.shape)
    return X, np.digitize(X[:, 2], np.quantile(X[:, 2], np.linspace(0, 1, 11)[1:-1]))


def _leg(t, x, y):
    return np.stack([x + 0.3 * np.sin(4 * t), np.full_like(t, y), -0.8 - 3.5 * t], axis=1)


def _nose(t):
    return np.stack([4.4 + 0.8 * np.sin(5 * t), 0.2 * np.sin(9 * t), 0.6 - 4 * t], axis=1)


def _tusk(t, side):
    return np.stack([4.3 + 2 * np.sin(2.5 * t), side * (0.5 + 0.8 * t), 0.6 - 1.2 * t + 1.5 * t * t], axis=1)


def _tail(t):
    return np.stack([-3 - 1.2 * t, 0.3 * np.sin(6 * t), -2 * t], axis=1)


def _ellipsoid(random, centre, axes, n_points):
    return np.array(centre) + _unit(random.randn(n_points, 3)) * np.array(axes)


def _tube(random, curve, radius, thinner_by, n_points):
    """Points around a curve; the radius falls along it."""
    t, angle = random.rand(n_points), 2 * np.pi * random.rand(n_points)
    centre = curve(t)
    along = _unit(curve(t + 1e-3) - centre)
    across = _unit(np.cross(along, [0.3, 0.5, 0.8]))
    around = np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.cross(along, across)
    return centre + (radius - thinner_by * t)[:, None] * around


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
