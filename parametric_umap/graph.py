"""The fuzzy simplicial set: the weighted graph that the embedding reproduces (McInnes et al. 2018, section 3)."""

import numpy as np
import scipy.sparse as sp

SMOOTH_K_TOLERANCE = 1e-5
MIN_K_DIST_SCALE = 1e-3
N_BISECTIONS = 64


def fuzzy_simplicial_set(indices, distances, *, local_connectivity=1.0, set_op_mix_ratio=1.0):
    """Build the graph from the nearest neighbours.

    Equal to ``umap.umap_.fuzzy_simplicial_set`` on the same neighbours, within 1e-5 in every weight.

    Parameters
    ----------
    indices : ndarray of shape (n_samples, n_neighbors), int
        Neighbours of each row, the row itself first.
    distances : ndarray of shape (n_samples, n_neighbors), float
        Their distances, rising.
    local_connectivity : float, default=1.0
        Number of nearest neighbours taken to be fully connected; a fraction interpolates between two.
    set_op_mix_ratio : float in [0, 1], default=1.0
        1 joins the two directed memberships by the fuzzy union, 0 by the fuzzy intersection.

    Returns
    -------
    graph : csr_array of shape (n_samples, n_samples), float32
        Symmetric memberships in (0, 1], without a diagonal.
    """
    sigmas, rhos = smooth_knn_dist(distances, local_connectivity=local_connectivity)
    memberships = membership_strengths(indices, distances, sigmas, rhos)
    n, k = indices.shape
    directed = sp.csr_array((memberships.ravel(), (np.repeat(np.arange(n), k), indices.ravel())), shape=(n, n))
    product = directed.multiply(directed.T)
    union = directed + directed.T - product
    graph = (set_op_mix_ratio * union + (1 - set_op_mix_ratio) * product).tocsr().astype(np.float32)
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph


def smooth_knn_dist(distances, *, local_connectivity=1.0, bandwidth=1.0):
    """Find each row's distance to its nearest neighbour, and the kernel width that normalizes its memberships.

    The same bisection as ``umap.umap_.smooth_knn_dist``, on all rows at once.

    Parameters
    ----------
    distances : ndarray of shape (n_samples, n_neighbors), float
        Distances to the neighbours, rising; the first is the row's distance to itself.
    local_connectivity : float, default=1.0
        Number of nearest neighbours taken to be at distance zero; a fraction interpolates between two.
    bandwidth : float, default=1.0
        Factor of the sum of memberships, log2(n_neighbors), that each row is given.

    Returns
    -------
    sigmas : ndarray of shape (n_samples,), float64
        Kernel widths, in the unit of the distances.
    rhos : ndarray of shape (n_samples,), float64
        Distances to the `local_connectivity`-th neighbour that is not at distance zero.
    """
    precision = distances.dtype
    distances = distances.astype(np.float64)
    mean = distances.mean()
    # A power of two leaves every step of the bisection as it is, and puts any unit of distance within its reach.
    unit = 2.0 ** np.floor(np.log2(mean)) if mean > 0 else 1.0
    rhos = _local_distances(distances, local_connectivity).astype(precision).astype(np.float64)  # as umap-learn rounds
    sigmas = unit * _kernel_widths((distances - rhos[:, None])[:, 1:] / unit, np.log2(distances.shape[1]) * bandwidth)
    floor = MIN_K_DIST_SCALE * np.where(rhos > 0, distances.mean(axis=1), mean)
    return np.maximum(sigmas, floor), rhos


def _local_distances(distances, local_connectivity):
    """The distance of the `local_connectivity`-th neighbour apart from the row, interpolated, else of the last one."""
    n_apart = (distances > 0).sum(axis=1)
    first_apart = distances.shape[1] - n_apart

    def nth_apart(n):
        column = np.clip(first_apart + n - 1, 0, distances.shape[1] - 1)
        return np.take_along_axis(distances, column[:, None], axis=1)[:, 0]

    whole = int(local_connectivity)
    fraction = local_connectivity - whole
    below = nth_apart(whole) if whole > 0 else np.zeros(len(distances))
    enough = below + fraction * (nth_apart(whole + 1) - below) if fraction > SMOOTH_K_TOLERANCE else below
    return np.where(n_apart >= local_connectivity, enough, distances[:, -1])


def _kernel_widths(excess, target):
    """The widths at which exp(-excess / width) sums to `target` in each row, by bisection."""
    n = len(excess)
    low, high, middle = np.zeros(n), np.full(n, np.inf), np.ones(n)
    excess = np.maximum(excess, 0)
    rows = np.arange(n)
    for _ in range(N_BISECTIONS):
        total = np.exp(-excess[rows] / middle[rows, None]).sum(axis=1)
        unsettled = np.abs(total - target) >= SMOOTH_K_TOLERANCE
        rows, above = rows[unsettled], total[unsettled] > target
        if not len(rows):
            break
        high[rows[above]] = middle[rows[above]]
        low[rows[~above]] = middle[rows[~above]]
        bracketed = np.isfinite(high[rows])
        middle[rows] = np.where(bracketed, (low[rows] + high[rows]) / 2, 2 * middle[rows])
    return middle


def membership_strengths(indices, distances, sigmas, rhos):
    """Compute how strongly each row holds each of its neighbours.

    Parameters
    ----------
    indices, distances : ndarray of shape (n_samples, n_neighbors)
        The neighbours of each row.
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
    memberships[indices == np.arange(len(indices))[:, None]] = 0
    return memberships
