"""The fuzzy simplicial set: the weighted graph that the embedding reproduces (McInnes et al. 2018, section 3)."""

import math
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..containers import as_tensor
from ..neighbors import Neighbors
from ..on_device import float64_device
from .sparse import Graph

SMOOTH_K_TOLERANCE = 1e-5
MIN_K_DIST_SCALE = 1e-3
N_BISECTIONS = 64
# Bisections between two questions which rows are settled: on a GPU it takes a wait for the answer.
BISECTIONS_AT_ONCE = 2
BISECTIONS_AT_ONCE_ON_A_DEVICE = 16


def fuzzy_graph(neighbors: Neighbors, *, local_connectivity: float = 1.0, set_op_mix_ratio: float = 1.0) -> Graph:
    """Build the graph from the nearest neighbours, where these are.

    Parameters
    ----------
    neighbors : Neighbors
        Those of each row.
    local_connectivity, set_op_mix_ratio : float, default=1.0
        As in `fuzzy_simplicial_set`.

    Returns
    -------
    graph : Graph
        The same graph, on the device of the neighbours.
    """
    computed = neighbors.to(float64_device(neighbors.device))
    memberships = directed_memberships(computed, local_connectivity)
    return _symmetrized(computed.indices, memberships, set_op_mix_ratio).to(neighbors.device)


def fuzzy_simplicial_set(
    indices: NDArray[np.integer],
    distances: NDArray[np.floating],
    *,
    local_connectivity: float = 1.0,
    set_op_mix_ratio: float = 1.0,
    device: str | torch.device = "cpu",
) -> sp.csr_array:
    """Build the graph from the nearest neighbours.

    Equal to ``umap.umap_.fuzzy_simplicial_set`` on the same neighbours, within 1e-5 in every weight.

    Parameters
    ----------
    indices : ndarray of shape (n_samples, n_neighbors), int
        Neighbours of each row, each of them once, the row itself first; -1 for none.
    distances : ndarray of shape (n_samples, n_neighbors), float
        Their distances, rising; infinite for none.
    local_connectivity : float, default=1.0
        Number of nearest neighbours taken to be fully connected; a fraction interpolates between two.
    set_op_mix_ratio : float in [0, 1], default=1.0
        1 joins the two directed memberships by the fuzzy union, 0 by the fuzzy intersection.
    device : str or torch.device, default="cpu"
        Where it is computed.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        Symmetric memberships in (0, 1], without a diagonal.
    """
    neighbors = Neighbors.of(indices, distances, device)
    graph = fuzzy_graph(neighbors, local_connectivity=local_connectivity, set_op_mix_ratio=set_op_mix_ratio)
    return graph.to_scipy()


def smooth_knn_dist(
    distances: NDArray[np.floating],
    *,
    local_connectivity: float = 1.0,
    bandwidth: float = 1.0,
    device: str | torch.device = "cpu",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find each row's distance to its nearest neighbour, and the kernel width that normalizes its memberships.

    The same bisection as ``umap.umap_.smooth_knn_dist``, on all rows at once.

    Parameters
    ----------
    distances : ndarray of shape (n_samples, n_neighbors), float
        Distances to the neighbours, rising; the first is the row's distance to itself. Infinite ones are those of no
        neighbours.
    local_connectivity : float, default=1.0
        Number of nearest neighbours taken to be at distance zero; a fraction interpolates between two.
    bandwidth : float, default=1.0
        Factor of the sum of memberships, log2(n_neighbors), that each row is given.
    device : str or torch.device, default="cpu"
        Where they are computed, in float64; MPS, which has none, leaves it to the CPU.

    Returns
    -------
    sigmas : ndarray of shape (n_samples,), float64
        Kernel widths, in the unit of the distances.
    rhos : ndarray of shape (n_samples,), float64
        Distances to the `local_connectivity`-th neighbour that is not at distance zero.
    """
    given = as_tensor(np.asarray(distances)).to(float64_device(device))
    sigmas, rhos = _widths_and_nearest(given, local_connectivity, bandwidth)
    return sigmas.cpu().numpy(), rhos.cpu().numpy()


def membership_strengths(
    indices: NDArray[np.integer],
    distances: NDArray[np.floating],
    sigmas: NDArray[np.floating],
    rhos: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Compute how strongly each row holds each of its neighbours.

    Parameters
    ----------
    indices, distances : ndarray of shape (n_samples, n_neighbors)
        The neighbours of each row; -1 at an infinite distance for none.
    sigmas, rhos : ndarray of shape (n_samples,)
        What `smooth_knn_dist` returned for the distances.

    Returns
    -------
    memberships : ndarray of shape (n_samples, n_neighbors), float64
        exp(-(distance - rho) / sigma), at most 1; 0 for the row itself.
    """
    return _memberships(*map(as_tensor, (indices, distances, sigmas, rhos))).numpy()


def directed_memberships(neighbors: Neighbors, local_connectivity: float = 1.0, total: Any = None) -> torch.Tensor:
    """Compute how strongly each row holds each of its neighbours, before the two directions are joined.

    Parameters
    ----------
    neighbors : Neighbors
        Those of each row.
    local_connectivity : float, default=1.0
        As in `fuzzy_simplicial_set`.
    total : callable or None, default=None
        Gives the sum over all processes of a tensor that each has; None if there is but this one.

    Returns
    -------
    memberships : Tensor of shape (n_samples, n_neighbors), float64
        0 for the row itself and for none.
    """
    sigmas, rhos = _widths_and_nearest(neighbors.distances, local_connectivity, total=total)
    return _memberships(neighbors.indices, neighbors.distances, sigmas, rhos)


def joined(forward: torch.Tensor, backward: torch.Tensor, set_op_mix_ratio: float) -> torch.Tensor:
    """Join the memberships of two directions: the fuzzy union and the fuzzy intersection, mixed.

    Parameters
    ----------
    forward, backward : Tensor of shape (n_edges,), float64
        The memberships.
    set_op_mix_ratio : float
        As in `fuzzy_simplicial_set`.

    Returns
    -------
    weights : Tensor of shape (n_edges,), float64
        Of the edges.
    """
    product = forward * backward
    union = forward + backward - product
    return union if set_op_mix_ratio == 1 else set_op_mix_ratio * union + (1 - set_op_mix_ratio) * product


def _widths_and_nearest(given, local_connectivity, bandwidth=1.0, total=None):
    distances = given.double()
    finite = distances.isfinite()
    sums, counts = torch.where(finite, distances, 0).sum(dim=1), finite.sum(dim=1)
    of_all = torch.stack([sums.sum(), counts.sum().double()])
    of_all = of_all if total is None else total(of_all)
    means, mean = sums / counts, of_all[0] / of_all[1]
    # A power of two leaves every step of the bisection as it is, and puts any unit of distance within its reach.
    unit = torch.where(mean > 0, mean / (2 * mean.frexp().mantissa), 1.0)
    rhos = _local_distances(distances, local_connectivity).to(given.dtype).double()  # as umap-learn rounds
    target = math.log2(distances.shape[1]) * bandwidth
    sigmas = unit * _kernel_widths((distances - rhos[:, None])[:, 1:] / unit, target)
    floor = MIN_K_DIST_SCALE * torch.where(rhos > 0, means, mean)
    return torch.maximum(sigmas, floor), rhos


def _local_distances(distances, local_connectivity):
    """The distance of the `local_connectivity`-th neighbour apart from the row, interpolated, else of the last one."""
    first_apart = (distances <= 0).sum(dim=1)
    last = distances.isfinite().sum(dim=1) - 1
    n_apart = last + 1 - first_apart

    def at(column):
        return distances.gather(1, column[:, None])[:, 0]

    def nth_apart(n):
        return at(torch.minimum(first_apart + n - 1, last).clamp(min=0))

    whole = int(local_connectivity)
    fraction = local_connectivity - whole
    below = nth_apart(whole) if whole > 0 else torch.zeros_like(distances[:, 0])
    enough = below + fraction * (nth_apart(whole + 1) - below) if fraction > SMOOTH_K_TOLERANCE else below
    return torch.where(n_apart >= local_connectivity, enough, at(last))


def _kernel_widths(excess, target):
    """The widths at which exp(-excess / width) sums to `target` in each row, by bisection."""
    at_once = BISECTIONS_AT_ONCE if excess.device.type == "cpu" else BISECTIONS_AT_ONCE_ON_A_DEVICE
    excess = excess.clamp(min=0)
    widths = torch.ones_like(excess[:, 0])
    rows = torch.arange(len(excess), device=excess.device)
    bracket = torch.zeros_like(widths), widths.clone(), torch.full_like(widths, torch.inf)
    for _ in range(0, N_BISECTIONS, at_once):
        settled = torch.zeros_like(rows, dtype=torch.bool)
        for _ in range(at_once):
            bracket, settled = _bisected(excess, target, *bracket, settled)
        widths.index_copy_(0, rows, bracket[1])
        unsettled = settled.logical_not().nonzero()[:, 0]
        if not len(unsettled):
            break
        rows, excess, *bracket = (part.index_select(0, unsettled) for part in (rows, excess, *bracket))
    return widths


def _bisected(excess, target, low, middle, high, settled):
    """One bisection of the rows that are not settled."""
    total = (-excess / middle[:, None]).exp_().sum(dim=1)
    settled = settled | ((total - target).abs() < SMOOTH_K_TOLERANCE)
    above = total > target
    high = torch.where(above, middle, high)
    low = torch.where(above, low, middle)
    following = torch.where(high.isfinite(), (low + high) / 2, 2 * middle)
    return (low, torch.where(settled, middle, following), high), settled


def _memberships(indices, distances, sigmas, rhos):
    excess = (distances - rhos[:, None]).clamp_(min=0)
    width = torch.where(sigmas > 0, sigmas, 1)[:, None]
    memberships = torch.where(sigmas[:, None] > 0, excess.div_(width).neg_().exp_(), 1.0)
    own = torch.arange(len(indices), device=indices.device)[:, None]
    return memberships.masked_fill_((indices == own) | (indices < 0), 0)


def _symmetrized(indices, memberships, set_op_mix_ratio):
    """Join the two directed memberships of each pair; rows and columns rising, one wait for their number.

    Both have one key, made of the lower and the upper row. Sorted, they are beside each other.
    """
    n = len(indices)
    own = torch.arange(n, device=indices.device)[:, None]
    others = torch.where(memberships > 0, indices, own)  # none is put where the row itself is
    keys, order = (torch.minimum(own, others) * n + torch.maximum(own, others)).flatten().sort()
    values = memberships.flatten().index_select(0, order)
    del others, order
    is_double = keys[1:] == keys[:-1]
    following = torch.where(is_double, values[1:], 0)
    following = torch.cat([following, following.new_zeros(min(1, len(values)))])  # nothing follows the last
    weights = joined(values, following, set_op_mix_ratio).float()
    kept = weights > 0
    kept[1:] &= ~is_double
    kept = kept.nonzero()[:, 0]
    keys, weights = keys.index_select(0, kept), weights.index_select(0, kept)
    lower = torch.div(keys, n, rounding_mode="floor")
    return _at_both_ends(n, lower.int(), (keys - n * lower).int(), weights)


def _at_both_ends(n_nodes, lower, upper, weights):
    """The graph of edges that are sorted by their lower end, then by the upper one.

    Those at their upper ends come first: sorted by head, and else left in their order, the other ends rise.
    """
    heads, order = torch.cat([upper, lower]).sort(stable=True)
    starts = torch.searchsorted(heads, torch.arange(n_nodes + 1, dtype=heads.dtype, device=heads.device))
    del heads
    ends = torch.cat([lower, upper]).index_select(0, order)
    return Graph(starts, ends, weights.repeat(2).index_select(0, order))
