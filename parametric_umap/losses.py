"""The losses of the two phases with their gradients in closed form, and the curve from distance to similarity.

Two points at distance d have the low-dimensional similarity q = 1 / (1 + a s^b), s = d² + EPSILON. Without EPSILON this
is the similarity of the UMAP paper; with it the repulsion of two points that meet stays bounded (umap-learn puts the
same 0.001 into its gradient), and loss and gradient belong together everywhere.
"""

import math

import numpy as np
import torch
from scipy.optimize import curve_fit

EPSILON = 1e-3


def find_ab_params(spread, min_dist):
    """Fit the similarity curve 1 / (1 + a d^{2b}) to an exponential decay that starts at `min_dist`.

    Equal to ``umap.umap_.find_ab_params``.

    Parameters
    ----------
    spread : float
        Decay length of the similarity, in units of the embedding.
    min_dist : float
        Distance up to which the similarity should be 1, in units of the embedding.

    Returns
    -------
    a, b : float
        The curve's parameters.
    """
    distance = np.linspace(0, spread * 3, 300)
    wanted = np.where(distance < min_dist, 1.0, np.exp(-(distance - min_dist) / spread))
    with np.errstate(divide="ignore"):  # where the search tries a negative b
        (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), distance, wanted)
    return float(a), float(b)


class PositionLoss:
    """Mean squared error to given positions: the loss of phase ``spectral_init``."""

    def value(self, z, positions):
        """Compute the loss.

        Parameters
        ----------
        z, positions : Tensor of shape (n_rows, n_components), float
            Where the encoder puts the rows, and where they should be.

        Returns
        -------
        loss : Tensor of shape (), float
            Mean over rows and coordinates.
        """
        return (z - positions).square().mean()

    def value_and_gradient(self, z, positions):
        """Compute the loss and its gradient with respect to `z`.

        Parameters
        ----------
        z, positions : Tensor of shape (n_rows, n_components), float
            Where the encoder puts the rows, and where they should be.

        Returns
        -------
        loss : Tensor of shape (), float
            What `value` returns.
        gradient : Tensor of shape (n_rows, n_components), float
            Its gradient.
        """
        error = z - positions
        return error.square().mean(), error * (2 / error.numel())


class EdgeCrossEntropy:
    """Cross-entropy over sampled edges: the loss of phase ``main_embedding``.

    For a positive edge (i, j) it is −log q_ij − repulsion_strength · Σ_k log(1 − q_ik) over `negative_sample_rate`
    random points k (McInnes et al. 2018, equation 18; Sainburg et al. 2021). A batch holds the end points of its edges,
    and the points k are the batch's own: both ends of every edge meet the first `n_columns` rows, weighted so that the
    sum is in expectation that over `negative_sample_rate` points for one end.

    Parameters
    ----------
    a, b : float
        The similarity curve.
    negative_sample_rate : float
        Number of random points that repel, for one positive edge.
    repulsion_strength : float
        Factor of the repulsion.
    n_columns : int, default=256
        Number of rows of the batch that serve as random points.
    """

    def __init__(self, a, b, negative_sample_rate, repulsion_strength, n_columns=256):
        self.a = a
        self.b = b
        self.negative_sample_rate = negative_sample_rate
        self.repulsion_strength = repulsion_strength
        self.n_columns = n_columns

    def value(self, z):
        """Compute the loss, differentiable by autograd.

        Parameters
        ----------
        z : Tensor of shape (2 * n_edges, n_components), float
            The first half holds the heads i of the edges, the second half their tails j.

        Returns
        -------
        loss : Tensor of shape (), float
            Mean over the edges.
        """
        heads, tails = z.chunk(2)
        q_edges = self._similarity((heads - tails).square().sum(dim=1))
        q_others = self._similarity((z[:, None] - z[None, : self.n_columns]).square().sum(dim=2))
        repulsion = -torch.log1p(-q_others).mean()
        return -q_edges.log().mean() + self.repulsion_strength * self.negative_sample_rate * repulsion

    def _similarity(self, squares):
        return 1 / (1 + self.a * (squares + EPSILON) ** self.b)

    def value_and_gradient(self, z):
        """Compute the loss and its gradient with respect to `z`, without autograd.

        Parameters
        ----------
        z : Tensor of shape (2 * n_edges, n_components), float
            The first half holds the heads i of the edges, the second half their tails j.

        Returns
        -------
        loss : Tensor of shape (), float
            What `value` returns.
        gradient : Tensor of shape (2 * n_edges, n_components), float
            Its gradient; two points that coincide exert no force on each other.
        """
        attraction, pull = self._attraction(z)
        repulsion, push = self._repulsion(z)
        return attraction + repulsion, pull + push

    def _attraction(self, z):
        heads, tails = z.chunk(2)
        difference = heads - tails
        s = difference.square().sum(dim=1, keepdim=True) + EPSILON
        growth = self.a * s**self.b
        force = difference * (2 * self.b * growth / (s * (1 + growth)) / len(s))
        return growth.log1p().mean(), torch.cat([force, -force])

    def _repulsion(self, z):
        columns = z[: self.n_columns]
        weight = self.repulsion_strength * self.negative_sample_rate / (len(z) * len(columns))
        # Differences are taken directly: the expanded square would lose near points of a wide embedding in float32.
        differences = [coordinate[:, None] - coordinate[: self.n_columns] for coordinate in z.T]
        s = torch.full_like(differences[0], EPSILON)
        for difference in differences:
            s.addcmul_(difference, difference)
        log_growth = s.log().mul_(self.b).add_(math.log(self.a))
        inverse_q = log_growth.exp().add_(1)
        # -log(1 - q) = log(1 + growth) - log(growth), and its derivative by s is -b / (s (1 + growth))
        strength = s.mul_(inverse_q).reciprocal_().mul_(-2 * self.b * weight)
        loss = inverse_q.log_().sub_(log_growth).sum() * weight
        gradient = torch.empty_like(z)
        for i, difference in enumerate(differences):
            force = difference.mul_(strength)
            gradient[:, i] = force.sum(dim=1)
            gradient[: self.n_columns, i] -= force.sum(dim=0)
        return loss, gradient
