"""Rows that should come to lie at given positions: landmarks, by which a map is kept in place."""

import numpy as np
import torch
from sklearn.utils import check_array

from ..engine import Term
from ..losses import check_number

SPREAD = 0.1  # of the graph's own layout, beside the positions between landmarks
N_AVERAGES = 100


def checked_landmarks(landmark_positions, n_samples, n_components):
    """Make sure that landmarks have positions, and other rows none.

    Parameters
    ----------
    landmark_positions : array-like of shape (n_samples, n_components)
        Where rows should be; a row that holds a NaN is free.
    n_samples, n_components : int
        The shape that it must have.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float32
        A copy.

    Raises
    ------
    ValueError
        If the shape is another, a position is infinite, or no row has one.
    """
    positions = check_array(
        landmark_positions, dtype=np.float32, copy=True, ensure_all_finite="allow-nan", input_name="landmark_positions"
    )
    if positions.shape != (n_samples, n_components):
        raise ValueError(
            f"landmark_positions has shape {positions.shape}; it must be {(n_samples, n_components)}, "
            "with NaN for rows that are free."
        )
    if np.isnan(positions).any(axis=1).all():
        raise ValueError("landmark_positions must hold the position of at least one row; all hold NaN.")
    return positions


def positions_between(landmarks, graph, layout):
    """Where rows may start, between landmarks: everyone at the mean of its neighbours in the graph.

    Parameters
    ----------
    landmarks : ndarray of shape (n_samples, n_components), float32
        What `checked_landmarks` returned.
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set.
    layout : ndarray of shape (n_samples, n_components), float32
        Positions without regard to the landmarks, of which a little is kept.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float32
        The landmarks at their places, the others between.
    """
    fixed = ~np.isnan(landmarks).any(axis=1)
    positions = np.where(fixed[:, None], landmarks, landmarks[fixed].mean(axis=0))
    degree = np.maximum(graph.sum(axis=1), np.finfo(np.float32).tiny)[:, None]
    joined = degree[:, 0] > np.finfo(np.float32).tiny
    for _ in range(N_AVERAGES):
        averages = graph @ positions / degree
        positions = np.where((fixed | ~joined)[:, None], positions, averages)
    return np.where(fixed[:, None], positions, positions + SPREAD * layout).astype(np.float32)


class Landmarks(Term):
    """How far landmarks are from their positions.

    Parameters
    ----------
    positions : ndarray of shape (n_samples, n_components), float32
        Where rows should be; a row that holds a NaN is free.
    weight : float
        Factor of the loss.
    loss : callable or None
        Of coordinates and positions, both of shape (n_landmarks, n_components), to a number; None is the mean square.
    device : torch.device
        Where the coordinates are.
    """

    def __init__(self, positions, weight, loss, device):
        super().__init__()
        fixed = ~np.isnan(positions).any(axis=1)
        self.fixed = torch.from_numpy(fixed).to(device)
        self.positions = torch.from_numpy(np.where(fixed[:, None], positions, 0)).to(device)
        self.weight = weight
        self.loss = loss
        if loss is not None:
            known = self.positions[self.fixed]
            check_number(loss(known, known), "landmark_loss")

    def forward(self, batch):
        """The loss of a batch."""
        fixed, positions = self.fixed[batch.encoded], self.positions[batch.encoded]
        if self.loss is not None:
            kept = fixed.nonzero()[:, 0]  # a GPU waits for their number: with a loss of your own, no step is captured
            return self.weight * self.loss(batch.z[kept], positions[kept]) if len(kept) else 0 * batch.z.sum()
        error = (batch.z - positions).square().mean(dim=1)
        return self.weight * torch.where(fixed, error, 0).sum() / fixed.sum().clamp(min=1)
