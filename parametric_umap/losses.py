"""The losses of the two phases with their gradients in closed form, and the curve from distance to similarity.

Two points at distance d have the low-dimensional similarity q = 1 / (1 + a s^b), s = d² + EPSILON. Without EPSILON this
is the similarity of the UMAP paper; with it the repulsion of two points that meet stays bounded (umap-learn puts the
same 0.001 into its gradient), and loss and gradient belong together everywhere.
"""

import math
from functools import cache
from types import ModuleType
from warnings import warn

import numpy as np
import torch
from scipy.optimize import curve_fit

from .typing import TensorLoss

EPSILON = 1e-3


def find_ab_params(spread: float, min_dist: float) -> tuple[float, float]:
    """Fit the similarity curve 1 / (1 + a d²ᵇ) to an exponential decay that starts at `min_dist`.

    Equal to ``umap.umap_.find_ab_params``, where that converges: it does not for a spread below about 0.2.

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

    Raises
    ------
    ValueError
        If there are none, or none that a float64 holds.
    """
    distance, flat = np.linspace(0, 3, 300), min_dist / spread  # in units of the spread, where the search converges
    wanted = np.where(distance < flat, 1.0, np.exp(flat - distance))
    try:
        with np.errstate(divide="ignore"):  # where the search tries a negative b
            (a, b), _ = curve_fit(lambda d, a, b: 1 / (1 + a * d ** (2 * b)), distance, wanted)
        a = float(a) * float(spread) ** float(-2 * b)
    except (ArithmeticError, RuntimeError):
        a = b = np.nan
    if not (0 < a < np.inf and 0 < b < np.inf):
        raise ValueError(f"spread={spread} and min_dist={min_dist} have no similarity curve; give others, or a and b.")
    return a, float(b)


class PositionLoss:
    """Mean squared error to given positions: the loss of phase ``spectral_init``."""

    def value(self, z: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
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
        return _total((z - positions).square()) / z.numel()

    def value_and_gradient(self, z: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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
        return _total(error.square()) / error.numel(), error * (2 / error.numel())


class EdgeCrossEntropy:
    """Cross-entropy over sampled edges: the loss of phase ``main_embedding``.

    For a positive edge (i, j) it is −log q_ij − repulsion_strength · Σ_k log(1 − q_ik) over `negative_sample_rate`
    random points k (McInnes et al. 2018, equation 18; Sainburg et al. 2021). A batch holds groups of rows, such as the
    two end points of an edge, with the weights of the edges within each group; the points k are rows of the other
    groups, and all others where there is but one group: every row meets about `n_columns` of them, weighted so that the
    sum is in expectation that over `negative_sample_rate` points.

    Parameters
    ----------
    a, b : float
        The similarity curve.
    negative_sample_rate : float
        Number of random points that repel, for one positive edge.
    repulsion_strength : float
        Factor of the repulsion.
    n_columns : int, default=128
        Number of rows of the batch, evenly spaced, that serve as random points.
    squares : callable or None, default=None
        Squares of the distances between two tensors of points, for a map that is not flat; autograd differentiates
        them. None is the Euclidean distance, with its closed form.
    """

    def __init__(
        self,
        a: float,
        b: float,
        negative_sample_rate: float,
        repulsion_strength: float,
        n_columns: int = 128,
        squares: TensorLoss | None = None,
    ) -> None:
        self.squares = squares
        self.a = a
        self.b = b
        self.negative_sample_rate = negative_sample_rate
        self.repulsion_strength = repulsion_strength
        self.n_columns = n_columns

    def value(self, z: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Compute the loss, differentiable by autograd.

        Parameters
        ----------
        z : Tensor of shape (n_groups * group_size, n_components), float
            Coordinates of the rows, group by group.
        weights : Tensor of shape (n_groups, group_size, group_size), float
            The weights of the edges within each group, symmetric.

        Returns
        -------
        loss : Tensor of shape (), float
            Mean over the edges, by their weights.
        """
        groups = z.view(*weights.shape[:2], -1)
        squares = self.squares or _euclidean_squares
        q_edges = self._similarity(squares(groups[:, :, None], groups[:, None]))
        attraction = -_total(weights * q_edges.log()) / _at_least_tiny(_total(weights))
        step = self._step(z)
        q_others = self._similarity(squares(z[:, None], z[None, ::step]))
        apart = torch.ones_like(q_others).index_put(same_group(z, step, _size_apart(weights)), z.new_zeros(()))
        repulsion = -_total(apart * torch.log1p(-q_others)) / _total(apart).clamp(min=1)
        return attraction + self.repulsion_strength * self.negative_sample_rate * repulsion

    def _similarity(self, squares):
        return 1 / (1 + self.a * (squares + EPSILON) ** self.b)

    def value_and_gradient(self, z: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss and its gradient with respect to `z`; without autograd, where the map is flat.

        Parameters
        ----------
        z : Tensor of shape (n_groups * group_size, n_components), float
            Coordinates of the rows, group by group.
        weights : Tensor of shape (n_groups, group_size, group_size), float
            The weights of the edges within each group, symmetric.

        Returns
        -------
        loss : Tensor of shape (), float
            What `value` returns.
        gradient : Tensor of shape (n_groups * group_size, n_components), float
            Its gradient; two points that coincide exert no force on each other.
        """
        if self.squares is not None:
            z = z.detach().requires_grad_()
            loss = self.value(z, weights)
            return loss.detach(), torch.autograd.grad(loss, z)[0]
        kernels = kernels_for(z, weights)
        if kernels is not None:
            repulsion = self.repulsion_strength * self.negative_sample_rate
            how = {"a": self.a, "b": self.b, "repulsion": repulsion, "step": self._step(z), "epsilon": EPSILON}
            return kernels.loss_and_gradient(z, weights, n_apart=_size_apart(weights), **how)
        step, size = self._step(z), _size_apart(weights)
        columns = z[::step]
        n_pairs = max(1, (len(z) - size) * len(columns))
        attraction, pull = self.attraction(z, weights, _total(weights))
        repulsion, push, of_columns = self.repulsion(z, columns, same_group(z, step, size), n_pairs)
        push[::step] += of_columns
        return attraction + repulsion, pull.add_(push)

    def attraction(
        self, z: torch.Tensor, weights: torch.Tensor, total: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute what the edges within the groups add to the loss and its gradient.

        Parameters
        ----------
        z, weights
            As in `value_and_gradient`.
        total : Tensor of shape (), float
            The sum of the weights of all groups, those of other processes, too.

        Returns
        -------
        loss : Tensor of shape (), float
            Their share of it.
        gradient : Tensor of shape (n_groups * group_size, n_components), float
            Its gradient.
        """
        n_groups, size = weights.shape[:2]
        # Differences are taken directly: the expanded square would lose near points of a wide embedding in float32.
        coordinates = z.T.reshape(-1, n_groups, size)
        differences = [coordinate[:, :, None] - coordinate[:, None] for coordinate in coordinates]
        s = _squares(differences)
        growth = (s.log() * self.b).exp_().mul_(self.a)
        share = weights / _at_least_tiny(total)
        strength = share * growth / (growth + 1).mul_(s) * (4 * self.b)  # 2 b, and each edge is there from both ends
        gradient = torch.stack([(strength * difference).sum(dim=2) for difference in differences], dim=2)
        return _total(share * growth.log1p_()), gradient.view_as(z)

    def repulsion(
        self, z: torch.Tensor, columns: torch.Tensor, same_group: tuple[torch.Tensor, torch.Tensor], n_pairs: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute what the repulsion of rows by some points adds to the loss and its gradient.

        Parameters
        ----------
        z : Tensor of shape (n_rows, n_components), float
            Coordinates of the rows.
        columns : Tensor of shape (n_columns, n_components), float
            Those of the points.
        same_group : tuple of Tensor
            Indices of the rows and of the columns that do not repel each other.
        n_pairs : int
            How many pairs the loss is the mean of, those of other processes counted.

        Returns
        -------
        loss : Tensor of shape (), float
            The share of the pairs.
        gradient : Tensor of shape (n_rows, n_components), float
            Its gradient with respect to `z`.
        of_columns : Tensor of shape (n_columns, n_components), float
            And to `columns`.
        """
        differences = [
            row[:, None] - column for row, column in zip(z.T.contiguous(), columns.T.contiguous(), strict=True)
        ]
        s = _squares(differences)
        weight = self.repulsion_strength * self.negative_sample_rate / n_pairs
        q = s.log().mul_(-self.b).sub_(math.log(self.a)).sigmoid_()
        strength = torch.div(q, s, out=s).mul_(-2 * self.b * weight)  # -log(1 - q) falls by b q / s
        loss = q.clamp_(max=1 - torch.finfo(q.dtype).eps).neg_().log1p_().neg_()
        zero = z.new_zeros(())  # for a Python number a GPU would wait
        strength.index_put_(same_group, zero)
        loss.index_put_(same_group, zero)
        gradient, of_columns = torch.empty_like(z), columns.new_empty(columns.shape)
        for i, difference in enumerate(differences):
            force = difference.mul_(strength)
            gradient[:, i] = force.sum(dim=1)
            of_columns[:, i] = -force.sum(dim=0)
        return _total(loss) * weight, gradient, of_columns

    def _step(self, z):
        return max(1, len(z) // self.n_columns)


def kernels_for(z: torch.Tensor, weights: torch.Tensor) -> ModuleType | None:
    """Choose what finds the forces of a batch.

    Parameters
    ----------
    z, weights : Tensor
        As `EdgeCrossEntropy.value_and_gradient` takes them.

    Returns
    -------
    kernels : module or None
        That of the Triton kernels, where they are for such a batch; None, where torch does it.
    """
    kernels = _kernels_on(z.device) if z.device.type == "cuda" and z.dtype == torch.float32 else None
    return kernels if kernels is not None and kernels.can_compute(z, weights) else None


@cache
def _kernels_on(device):
    """The module of kernels, if Triton is there and compiles one of them: it needs a C compiler."""
    try:
        from . import force_kernels
    except ImportError:  # torch brings Triton along on Linux, not everywhere
        return None
    try:
        z, weights = torch.zeros((2, 2), device=device), torch.zeros((1, 2, 2), device=device)
        force_kernels.loss_and_gradient(z, weights, a=1.0, b=1.0, repulsion=1.0, step=1, n_apart=1, epsilon=EPSILON)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: what compiles is the user's tools
        reason = str(error).strip().split("\n")[0]
        warn(f"Triton compiles nothing here, and steps on the GPU take longer: {reason}", RuntimeWarning, stacklevel=2)
        return None
    return force_kernels


def _total(values):
    """Sum of all values, to the same bits by any number of threads; ``values.sum()`` may differ in the last."""
    return values.flatten(1).sum(dim=1).sum()


def _euclidean_squares(u, v):
    return (u - v).square().sum(dim=-1)


def _squares(differences):
    s = torch.full_like(differences[0], EPSILON)
    for difference in differences:
        s.addcmul_(difference, difference)
    return s


def same_group(z: torch.Tensor, step: int, group_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Find where each `step`-th row meets the rows of its own group.

    Parameters
    ----------
    z : Tensor of shape (n_rows, n_components), float
        Coordinates of the rows, group by group.
    step, group_size : int
        The rows that are columns are so far apart; a group has so many rows.

    Returns
    -------
    rows, columns : Tensor of shape (n_columns, group_size), int64
        Their indices.
    """
    column = torch.arange(-(-len(z) // step), device=z.device)[:, None]
    first = column * step // group_size * group_size
    return first + torch.arange(group_size, device=z.device), column.expand(-1, group_size)


def _size_apart(weights):
    """How many rows of a group do not repel each other: all of them, but where there is no other group."""
    return weights.shape[1] if len(weights) > 1 else 1


def _at_least_tiny(total):
    """Keeps a batch without an edge from dividing by zero."""
    return total.clamp(min=torch.finfo(total.dtype).tiny)


def check_number(value: torch.Tensor, name: str) -> None:
    """Make sure that a loss of the user's gives one number.

    Parameters
    ----------
    value : Tensor
        What it gave.
    name : str
        The parameter that it came by.

    Raises
    ------
    ValueError
        If it is no tensor of shape ().
    """
    if not (isinstance(value, torch.Tensor) and value.shape == ()):
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(type(value))
        raise ValueError(f"{name} must give a tensor of shape (); it gave {got}.")
