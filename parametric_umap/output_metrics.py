"""Distances on maps that are not flat: on a sphere, and in the hyperbolic plane."""

import numpy as np
import torch

# On a sphere of radius 1, as umap-learn's, groups that repel over a distance of `spread` find no room.
RADIUS = 6.0
LEAST = 1e-12  # where a square root or an inverse has no derivative


def haversine(u, v):
    """Squares of the distances between points of a sphere.

    Parameters
    ----------
    u, v : Tensor of shape (..., 2), float
        Points: the angle from the pole, and the longitude, both in radians; the shapes are broadcast.

    Returns
    -------
    squares : Tensor of shape (...), float
        Squared great-circle distances on a sphere of radius `RADIUS`.
    """
    theta, phi = ((a - b).div(2).sin().square() for a, b in ((u[..., 0], v[..., 0]), (u[..., 1], v[..., 1])))
    half_chord = theta + u[..., 0].sin() * v[..., 0].sin() * phi
    return (2 * RADIUS * torch.asin(half_chord.clamp(LEAST, 1 - 1e-6).sqrt())).square()


def hyperboloid(u, v):
    """Squares of the distances between points of the hyperbolic plane.

    Parameters
    ----------
    u, v : Tensor of shape (..., n_components), float
        The points' spatial coordinates on the hyperboloid x₀² = 1 + |x|²; the shapes are broadcast.

    Returns
    -------
    squares : Tensor of shape (...), float
        Squared hyperbolic distances.
    """
    u_squares, v_squares = u.square().sum(dim=-1), v.square().sum(dim=-1)
    first = (u_squares - v_squares) / ((1 + u_squares).sqrt() + (1 + v_squares).sqrt())  # of x₀, without losing digits
    interval = (u - v).square().sum(dim=-1) - first.square()
    return 4 * torch.asinh((interval / 4).clamp(min=LEAST).sqrt()).square()


OUTPUT_METRICS = {"haversine": haversine, "hyperboloid": hyperboloid}
# On a sphere positions of the usual spread would go round it several times.
LARGEST_SCALES = {"haversine": 0.5}


def placed(positions, output_metric):
    """Put initial positions where a map of that kind has room for them.

    Parameters
    ----------
    positions : Tensor of shape (n_samples, n_components), float32
        Initial positions around the origin.
    output_metric : str
        "euclidean" or one of `OUTPUT_METRICS`.

    Returns
    -------
    positions : Tensor of shape (n_samples, n_components), float32
        On a sphere around a point of the equator, away from the poles; else the same.
    """
    if output_metric not in LARGEST_SCALES:
        return positions
    spread = positions.std(dim=0, correction=0).max().clamp(min=1e-12)
    positions = positions * (LARGEST_SCALES[output_metric] / spread).clamp(max=1)
    return torch.cat([positions[:, :1] + torch.pi / 2, positions[:, 1:]], dim=1)


def as_drawn(Z, output_metric):
    """Put points of a map that is not flat where they can be drawn.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_components), float
        Points, as the estimator gives them.
    output_metric : str
        "euclidean" or one of `OUTPUT_METRICS`.

    Returns
    -------
    Z : ndarray of shape (n_samples, n_drawn), float
        Points of a sphere of radius 1 in three dimensions; those of the hyperbolic plane in the Poincaré disk; others
        as they are.
    """
    if output_metric == "haversine":
        theta, phi = Z.T
        return np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    if output_metric == "hyperboloid":
        return Z / (1 + np.sqrt(1 + np.square(Z).sum(axis=1, keepdims=True)))
    return Z
