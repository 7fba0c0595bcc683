"""The spectral embedding of a graph: the positions that the network learns first."""

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee
from scipy.sparse.linalg import ArpackNoConvergence, eigsh, lobpcg
from scipy.spatial import KDTree
from sklearn.decomposition import PCA

from .typing import Matrix

# Up to this many nodes a dense eigenproblem is quick, and sure.
DENSE_NODES = 300
# Up to this much work, nodes times squared bandwidth, the graph's matrix is factorized: curves are narrow, and have
# eigenvalues too close for plain iteration.
NARROW_WORK = 1e9
TOLERANCE = 1e-6
# Of the filtered iteration on a GPU: degree of the polynomial, rounds at most, and vectors beyond those wanted.
FILTER_DEGREE = 40
FILTER_ROUNDS = 40
FILTER_SPARE = 8


def spectral_layout(
    X: Matrix,
    graph: sp.csr_array,
    n_components: int,
    random_state: np.random.RandomState,
    device: str | torch.device = "cpu",
) -> NDArray[np.float64]:
    """Lay out the nodes of a graph by the Laplacian eigenmaps of its connected components.

    A connected graph is laid out as ``sklearn.manifold.SpectralEmbedding(affinity="precomputed")`` does, up to sign and
    scale. Otherwise each component is laid out so, around the first principal components of its rows' mean, within half
    the way to the nearest other component, as umap-learn does.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float
        The rows that the nodes stand for; only read where the graph is not connected.
    graph : csr_array of shape (n_samples, n_samples), float
        Symmetric weights.
    n_components : int
        Number of coordinates.
    random_state : RandomState
        Where iterative eigensolvers start.
    device : str or torch.device, default="cpu"
        Where large eigenproblems are solved, if it is a CUDA device.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float64
        Each coordinate with mean 0 and standard deviation 1 (or 0, where the graph has no more to tell).

    References
    ----------
    Belkin, Niyogi 2003, Laplacian Eigenmaps for Dimensionality Reduction and Data Representation.
    """
    n_parts, part = connected_components(graph, directed=False)
    if n_parts == 1:
        return standardize(laplacian_eigenmap(graph, n_components, random_state, device))
    positions = np.empty((graph.shape[0], n_components))
    centres = _part_centres(X, part, n_parts, n_components)
    parts = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part))[:-1])
    for nodes, centre, radius in zip(parts, centres, _radii(centres), strict=True):
        layout = laplacian_eigenmap(graph[nodes][:, nodes], n_components, random_state, device)
        positions[nodes] = centre + radius * layout / max(np.abs(layout).max(), np.finfo(float).tiny)
    return standardize(positions)


def laplacian_eigenmap(
    graph: sp.csr_array, n_components: int, random_state: np.random.RandomState, device: str | torch.device = "cpu"
) -> NDArray[np.float64]:
    """Embed a connected graph by the eigenvectors of its random-walk Laplacian, the constant one left out.

    Parameters
    ----------
    graph : csr_array of shape (n_nodes, n_nodes), float
        Symmetric weights, connected.
    n_components : int
        Number of coordinates; those above ``n_nodes - 1`` are zero.
    random_state : RandomState
        Where iterative eigensolvers start.
    device : str or torch.device, default="cpu"
        Where a large eigenproblem is solved, if it is a CUDA device.

    Returns
    -------
    coordinates : ndarray of shape (n_nodes, n_components), float64
        Eigenvectors by rising eigenvalue, not scaled.
    """
    n = graph.shape[0]
    coordinates = np.zeros((n, n_components))
    if n == 1:
        return coordinates
    root_degree = np.sqrt(graph.sum(axis=1, dtype=np.float64))
    inverse = sp.diags_array(1 / root_degree)
    walk = (inverse @ graph.astype(np.float64) @ inverse).tocsr()
    n_vectors = min(n_components, n - 1) + 1
    vectors = _leading_eigenvectors(walk, n_vectors, root_degree, random_state, torch.device(device))
    coordinates[:, : n_vectors - 1] = vectors[:, 1:] / root_degree[:, None]
    return coordinates


def _leading_eigenvectors(walk, n_vectors, root_degree, random_state, device):
    """The eigenvectors of the largest eigenvalues of the normalized adjacency, by falling eigenvalue."""
    n = walk.shape[0]
    if n <= max(DENSE_NODES, 2 * n_vectors):
        return np.linalg.eigh(walk.toarray())[1][:, : -n_vectors - 1 : -1]
    start = random_state.normal(size=(n, n_vectors))
    start[:, 0] = root_degree
    if device.type == "cuda":  # only on a GPU
        start = np.hstack([start, random_state.normal(size=(n, FILTER_SPARE))])
        vectors = _filtered_iteration(walk, n_vectors, start, device)
        if vectors is not None:
            return vectors
    narrow = n * _bandwidth(walk) ** 2 <= NARROW_WORK
    how = {"which": "LM", "sigma": 1 + 1e-8} if narrow else {"which": "LA", "tol": TOLERANCE}
    try:
        values, vectors = eigsh(walk, n_vectors, v0=start.sum(axis=1), **how)
    except ArpackNoConvergence:
        values, vectors = lobpcg(walk, start[:, :n_vectors], tol=TOLERANCE, maxiter=200)
    return vectors[:, np.argsort(-values)]


def _filtered_iteration(walk, n_vectors, start, device):
    """The same by subspace iteration with a Chebyshev filter, which is all products of the matrix with a block.

    The filter is small on the spectrum from -1 up to the least value of the block, and grows steeply above (Zhou, Saad,
    Tiago, Chelikowsky 2006, Self-consistent-field calculations using Chebyshev-filtered subspace iteration).
    None where it does not settle, as for a curve, whose leading eigenvalues are too close.
    """
    matrix = _sparse_tensor(walk, device)
    vectors = torch.from_numpy(start).to(device)
    for _ in range(FILTER_ROUNDS):
        vectors = torch.linalg.qr(vectors)[0]
        products = matrix @ vectors
        values, turn = torch.linalg.eigh(vectors.T @ products)
        vectors, products = vectors @ turn, products @ turn
        error = (products - values * vectors).norm(dim=0)[-n_vectors:].max()
        if error < TOLERANCE:
            return vectors[:, -n_vectors:].flip(1).cpu().numpy()
        middle, half = (values[0] - 1) / 2, (values[0] + 1) / 2
        before, vectors = vectors, (products - middle * vectors) / half
        for _ in range(FILTER_DEGREE - 1):
            before, vectors = vectors, (matrix @ vectors - middle * vectors) * (2 / half) - before
    return None


def _sparse_tensor(matrix, device):
    """A sparse matrix of SciPy as a tensor."""
    matrix = matrix.tocsr()
    parts = (torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices))
    return torch.sparse_csr_tensor(*parts, torch.from_numpy(matrix.data), matrix.shape).to(device)


def _bandwidth(graph):
    """How far apart two joined nodes come at most, once the nodes are in a good order."""
    order = np.argsort(reverse_cuthill_mckee(graph, symmetric_mode=True))
    edges = graph.tocoo()
    return int(np.abs(order[edges.row] - order[edges.col]).max())


def _part_centres(X, part, n_parts, n_components):
    """The mean rows of the components, in their first principal components."""
    means = _means(X, part, n_parts)
    n_axes = min(n_components, n_parts - 1, X.shape[1])
    centres = np.zeros((n_parts, n_components))
    if abs(means.max(axis=0) - means.min(axis=0)).max() == 0:
        return centres
    solver = "arpack" if n_axes < min(means.shape) else "full"
    if sp.issparse(means) and solver == "full":
        means = means.toarray()
    centres[:, :n_axes] = PCA(n_axes, svd_solver=solver, random_state=0).fit_transform(means)
    return centres


def _means(X, part, n_parts, n_rows=4096):
    """The mean rows of the parts. The products are in float64, and so are the rows in them: few at a time."""
    share = sp.csr_array((1 / np.bincount(part)[part], (np.arange(len(part)), part)), shape=(len(part), n_parts))
    chunks = (slice(start, start + n_rows) for start in range(0, len(part), n_rows))
    if isinstance(X, torch.Tensor):
        sums = (_sparse_tensor(share[chunk].T, X.device) @ X[chunk].double() for chunk in chunks)
        return sum(sums).cpu().numpy()
    return sum(share[chunk].T @ X[chunk] for chunk in chunks)


def _radii(centres):
    """Half of the distance from each centre to the nearest other one, and no less than a hundredth of the extent."""
    extent = np.ptp(centres, axis=0).max() or 1.0
    gaps, _ = KDTree(centres).query(centres, k=2)
    return np.maximum(gaps[:, 1] / 2, extent / 100)


def standardize(positions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Shift and scale each coordinate to mean 0 and standard deviation 1.

    Parameters
    ----------
    positions : ndarray of shape (n_samples, n_components), float
        Any positions.

    Returns
    -------
    standardized : ndarray of shape (n_samples, n_components), float64
        The positions; a constant coordinate becomes 0.
    """
    centred = positions - positions.mean(axis=0)
    spread = centred.std(axis=0)
    negligible = spread <= np.finfo(float).eps * np.abs(positions).max(axis=0, initial=0)
    return np.where(negligible, 0, centred) / np.where(negligible, 1, spread)
