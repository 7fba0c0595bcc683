"""The fuzzy simplicial set: the weighted graph that the embedding reproduces (McInnes et al. 2018, section 3)."""

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from ..neighbors import Neighbors
from .sparse import Graph

SMOOTH_K_TOLERANCE = 1e-5
MIN_K_DIST_SCALE = 1e-3
N_BISECTIONS = 64


def fuzzy_graph(neighbors: Neighbors, *, local_connectivity: float = 1.0, set_op_mix_ratio: float = 1.0) -> Graph:
    """Build the graph from the nearest neighbours, where these are.

    Parameters
    ----------
    neighbors : Neighbors
        Those of each row.
    local_connectivity, set_op_mix_ratio
        As in `fuzzy_simplicial_set`.

    Returns
    -------
    graph : Graph
        The same graph.
    """
    graph = fuzzy_simplicial_set(
        *neighbors.numpy(),
        local_connectivity=local_connectivity,
        set_op_mix_ratio=set_op_mix_ratio,
        device=neighbors.device,
    )
    return Graph.of(graph, neighbors.device)


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
        Neighbours of each row, the row itself first; -1 for none.
    distances : ndarray of shape (n_samples, n_neighbors), float
        Their distances, rising; infinite for none.
    local_connectivity : float, default=1.0
        Number of nearest neighbours taken to be fully connected; a fraction interpolates between two.
    set_op_mix_ratio : float in [0, 1], default=1.0
        1 joins the two directed memberships by the fuzzy union, 0 by the fuzzy intersection.
    device : str or torch.device, default="cpu"
        Where the memberships are computed.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        Symmetric memberships in (0, 1], without a diagonal.
    """
    sigmas, rhos = smooth_knn_dist(distances, local_connectivity=local_connectivity, device=device)
    memberships = membership_strengths(indices, distances, sigmas, rhos)
    n, k = indices.shape
    heads, tails = np.repeat(np.arange(n), k), np.maximum(indices, 0).ravel()  # those of none have membership 0
    directed = sp.csr_array((memberships.ravel(), (heads, tails)), shape=(n, n))
    product = directed.multiply(directed.T)
    union = directed + directed.T - product
    graph = (set_op_mix_ratio * union + (1 - set_op_mix_ratio) * product).tocsr().astype(np.float32)
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


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
    device = "cpu" if torch.device(device).type == "mps" else device
    given = torch.from_numpy(np.ascontiguousarray(distances)).to(device)
    distances = given.double()
    finite = distances.isfinite()
    means = torch.where(finite, distances, 0).sum(dim=1) / finite.sum(dim=1)
    mean = distances[finite].mean().item()
    # A power of two leaves every step of the bisection as it is, and puts any unit of distance within its reach.
    unit = 2.0 ** np.floor(np.log2(mean)) if mean > 0 else 1.0
    rhos = _local_distances(distances, local_connectivity).to(given.dtype).double()  # as umap-learn rounds
    target = np.log2(distances.shape[1]) * bandwidth
    sigmas = unit * _kernel_widths((distances - rhos[:, None])[:, 1:] / unit, target)
    floor = MIN_K_DIST_SCALE * torch.where(rhos > 0, means, mean)
    return torch.maximum(sigmas, floor).cpu().numpy(), rhos.cpu().numpy()


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
    excess = excess.clamp(min=0)
    low, middle = torch.zeros_like(excess[:, 0]), torch.ones_like(excess[:, 0])
    high = torch.full_like(middle, torch.inf)
    rows = torch.arange(len(excess), device=excess.device)
    for _ in range(N_BISECTIONS):
        total = torch.exp(-excess[rows] / middle[rows, None]).sum(dim=1)
        unsettled = (total - target).abs() >= SMOOTH_K_TOLERANCE
        rows, above = rows[unsettled], total[unsettled] > target
        if not len(rows):
            break
        high[rows] = torch.where(above, middle[rows], high[rows])
        low[rows] = torch.where(above, low[rows], middle[rows])
        bracketed = high[rows].isfinite()
        middle[rows] = torch.where(bracketed, (low[rows] + high[rows]) / 2, 2 * middle[rows])
    return middle


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
    excess = np.maximum(distances - rhos[:, None], 0)
    width = np.where(sigmas > 0, sigmas, 1)[:, None]
    memberships = np.where(sigmas[:, None] > 0, np.exp(-excess / width), 1.0)
    memberships[(indices == np.arange(len(indices))[:, None]) | (indices < 0)] = 0
    return memberships
