"""densMAP: points lie as densely as their rows (Narayan, Berger, Cho 2021, Nature Biotechnology 39)."""

import numpy as np
import scipy.sparse as sp
import torch

from ..engine import Term
from ..graph import fuzzy_simplicial_set
from ..losses import EPSILON
from ..neighbors import nearest_neighbors

RADIUS_EPSILON = 1e-8


def log_radii(graph, indices, distances):
    """Measure the local radius of every row: the mean square distance of its neighbours, by their weights.

    Parameters
    ----------
    graph : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set.
    indices, distances : ndarray of shape (n_samples, n_neighbors)
        The neighbours that it was made of; -1 at an infinite distance for none.

    Returns
    -------
    log_radii : ndarray of shape (n_samples,), float64
        Natural logarithms of the squares, as umap-learn's `rad_orig_`.
    """
    n, k = indices.shape
    valid = (indices >= 0).ravel()
    heads, tails = np.repeat(np.arange(n), k)[valid], indices.ravel()[valid]
    squares = sp.csr_array((np.square(distances.ravel()[valid], dtype=np.float64), (heads, tails)), shape=(n, n))
    squares = squares.maximum(squares.T)
    weight = graph.sum(axis=1, dtype=np.float64)
    total = graph.multiply(squares).sum(axis=1, dtype=np.float64)
    return np.log(RADIUS_EPSILON + total / np.maximum(weight, np.finfo(float).tiny))


def embedded_log_radii(embedding, n_neighbors, random_state=0):
    """Measure the same on the map: of the points, by their own neighbours and the graph that these make.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, n_components), float32
        The points.
    n_neighbors : int
        Number of neighbours of each, itself counted.
    random_state : int or RandomState, default=0
        Seed of an approximate search.

    Returns
    -------
    log_radii : ndarray of shape (n_samples,), float64
        As umap-learn's `rad_emb_`, but of the mean square distance, as those of the rows are.
    """
    neighbors = nearest_neighbors(embedding, n_neighbors, random_state=random_state)
    return log_radii(fuzzy_simplicial_set(*neighbors), *neighbors)


class Density(Term):
    """The correlation between the logarithms of the local radii of rows and of their points.

    Parameters
    ----------
    log_radii : ndarray of shape (n_samples,), float64
        Of the rows.
    a, b : float
        The similarity curve.
    weight : float
        Factor of the loss, which is the negative of the correlation.
    share : float
        Share of the phase, at its end, in which it counts.
    var_shift : float
        What is added to the variance of the points' radii.
    device : torch.device
        Where the coordinates are.
    """

    def __init__(self, log_radii, a, b, *, weight, share, var_shift, device):
        super().__init__()
        standardized = (log_radii - log_radii.mean()) / (log_radii.std() or 1.0)
        self.log_radii = torch.from_numpy(standardized.astype(np.float32)).to(device)
        self.a, self.b = a, b
        self.weight, self.share, self.var_shift = weight, share, var_shift

    def forward(self, batch):
        """The loss of a batch: each group's first row, among the others of its group."""
        groups = batch.grouped.view(*batch.targets.shape[:2], -1)
        joined = (batch.targets[:, 0] > 0).float()
        squares = (groups - groups[:, :1]).square().sum(dim=2)
        similarity = joined / (1 + self.a * (squares + EPSILON) ** self.b)
        total = similarity.sum(dim=1)
        radii = ((similarity * squares).sum(dim=1) / total.clamp(min=RADIUS_EPSILON) + EPSILON).log()
        wanted = self.log_radii[batch.rows.view(len(groups), -1)[:, 0]]
        counted = (total > 0).float()
        n_counted = counted.sum().clamp(min=2)
        radii = counted * (radii - (counted * radii).sum() / n_counted)
        wanted = counted * (wanted - (counted * wanted).sum() / n_counted)
        variance = radii.square().sum() / (n_counted - 1)
        spread = (wanted.square().sum() / (n_counted - 1)).clamp(min=RADIUS_EPSILON).sqrt()
        correlation = (radii * wanted).sum() / (n_counted - 1) / (spread * (variance + self.var_shift).sqrt())
        return -self.weight * (batch.elapsed >= 1 - self.share) * correlation
