"""The leading eigenvectors of a connected graph."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import ArpackNoConvergence, eigsh, lobpcg

from ..graph import Graph
from ..on_device import float64_device

# Up to this many nodes a dense eigenproblem is quick, and sure.
DENSE_NODES = 300
# Up to this much work, nodes times squared bandwidth, the graph's matrix is factorized: curves are narrow, and have
# eigenvalues too close for plain iteration.
NARROW_WORK = 1e9
TOLERANCE = 1e-6
# Of the filtered iteration on a device: degree of the polynomial, rounds at most, and vectors beyond those wanted.
FILTER_DEGREE = 40
FILTER_ROUNDS = 40
FILTER_SPARE = 8
PRODUCT_BYTES = 2**30  # of the products of all edges that are summed at a time


def laplacian_eigenmap(
    graph: sp.csr_array, n_components: int, random_state: np.random.RandomState, device: str | torch.device = "cpu"
) -> NDArray[np.float64]:
    """Embed a connected graph by the eigenvectors of its random-walk Laplacian, the constant one left out.

    Parameters
    ----------
    graph : csr_array of shape (n_nodes, n_nodes), float
        Symmetric weights, connected; they are taken as float32.
    n_components : int
        Number of coordinates; those above ``n_nodes - 1`` are zero.
    random_state : RandomState
        Where iterative eigensolvers start.
    device : str or torch.device, default="cpu"
        Where a large eigenproblem is solved.

    Returns
    -------
    coordinates : ndarray of shape (n_nodes, n_components), float64
        Eigenvectors by rising eigenvalue, not scaled.
    """
    return eigenmap(Graph.of(graph, float64_device(device)), n_components, random_state).cpu().numpy()


def eigenmap(graph: Graph, n_components: int, random_state: np.random.RandomState) -> torch.Tensor:
    """Embed a connected graph, where it is.

    Parameters
    ----------
    graph : Graph
        Connected, on a device that has float64.
    n_components, random_state
        As in `laplacian_eigenmap`.

    Returns
    -------
    coordinates : Tensor of shape (n_nodes, n_components), float64
        The same, on the device of the graph.
    """
    n = len(graph)
    coordinates = torch.zeros((n, n_components), dtype=torch.float64, device=graph.device)
    if n == 1:
        return coordinates
    n_vectors = min(n_components, n - 1) + 1
    root_degree = _sums_of_rows(graph.weights.double(), graph.starts).sqrt()
    vectors = _leading_eigenvectors(graph, root_degree, n_vectors, random_state)
    coordinates[:, : n_vectors - 1] = vectors[:, 1:] / root_degree[:, None]
    return coordinates


def _leading_eigenvectors(graph, root_degree, n_vectors, random_state):
    """The eigenvectors of the largest eigenvalues of the normalized adjacency, by falling eigenvalue."""
    n, device = len(graph), graph.device
    walk = _normalized(graph, root_degree)
    if n <= max(DENSE_NODES, 2 * n_vectors):
        return _dense_eigenvectors(walk.to_scipy(), n_vectors).to(device)
    start = random_state.normal(size=(n, n_vectors + FILTER_SPARE))
    start[:, 0] = root_degree.cpu()
    if device.type != "cpu":
        vectors = filtered_iteration(walk, n_vectors, torch.from_numpy(start).to(device))
        if vectors is not None:
            return vectors
    return _iterated_eigenvectors(walk.to_scipy(), start[:, :n_vectors]).to(device)


def _normalized(graph, root_degree):
    """The graph with its weights divided by the roots of the degrees of both ends, in float64."""
    roots = root_degree.index_select(0, graph.heads).mul_(root_degree.index_select(0, graph.ends))
    return replace(graph, weights=graph.weights.double().div_(roots))


def _dense_eigenvectors(walk, n_vectors):
    return torch.from_numpy(np.linalg.eigh(walk.toarray())[1][:, : -n_vectors - 1 : -1].copy())


def _iterated_eigenvectors(walk, start):
    """The same by ARPACK: of a factorized matrix where it is narrow, else by plain products."""
    n, n_vectors = start.shape
    narrow = n * _bandwidth(walk) ** 2 <= NARROW_WORK
    how = {"which": "LM", "sigma": 1 + 1e-8} if narrow else {"which": "LA", "tol": TOLERANCE}
    try:
        values, vectors = eigsh(walk, n_vectors, v0=start.sum(axis=1), **how)
    except ArpackNoConvergence:
        values, vectors = lobpcg(walk, start, tol=TOLERANCE, maxiter=200)
    return torch.from_numpy(vectors[:, np.argsort(-values)])


def _bandwidth(graph):
    """How far apart two joined nodes come at most, once the nodes are in a good order."""
    order = np.argsort(reverse_cuthill_mckee(graph, symmetric_mode=True))
    edges = graph.tocoo()
    return int(np.abs(order[edges.row] - order[edges.col]).max())


def filtered_iteration(walk: Graph, n_vectors: int, start: torch.Tensor) -> torch.Tensor | None:
    """Find the leading eigenvectors by subspace iteration with a Chebyshev filter: all products with a block.

    The filter is small on the spectrum from -1 up to the least value of the block, and grows steeply above (Zhou, Saad,
    Tiago, Chelikowsky 2006, Self-consistent-field calculations using Chebyshev-filtered subspace iteration).

    Parameters
    ----------
    walk : Graph
        A symmetric matrix with eigenvalues from -1 to 1; its weights are float64.
    n_vectors : int
        Number of eigenvectors that are wanted.
    start : Tensor of shape (n_nodes, more than n_vectors), float64
        The block to start from.

    Returns
    -------
    vectors : Tensor of shape (n_nodes, n_vectors), float64, or None
        By falling eigenvalue. None where the iteration does not settle, as for a curve, whose leading eigenvalues are
        too close.
    """
    vectors = start
    for _ in range(FILTER_ROUNDS):
        vectors = torch.linalg.qr(vectors)[0]
        products = _product(walk, vectors)
        values, turn = (part.to(start.device) for part in torch.linalg.eigh((vectors.T @ products).cpu()))
        vectors, products = vectors @ turn, products @ turn
        error = (products - values * vectors).norm(dim=0)[-n_vectors:].max()
        if error < TOLERANCE:
            return vectors[:, -n_vectors:].flip(1)
        middle, half = (values[0] - 1) / 2, (values[0] + 1) / 2
        before, vectors = vectors, (products - middle * vectors) / half
        for _ in range(FILTER_DEGREE - 1):
            before, vectors = vectors, (_product(walk, vectors) - middle * vectors) * (2 / half) - before
    return None


def _product(graph, block):
    """The matrix of the weights times a block of columns; unlike that of cuSPARSE the same bits every time."""
    n_columns = max(1, PRODUCT_BYTES // (8 * max(1, len(graph.weights))))
    parts = []
    for columns in block.split(n_columns, dim=1):
        of_edges = columns.index_select(0, graph.ends).mul_(graph.weights[:, None])
        parts.append(_sums_of_rows(of_edges, graph.starts))
    return torch.cat(parts, dim=1)


def _sums_of_rows(values, starts):
    """The sum of the values of each row, one after the other."""
    return torch.segment_reduce(values, "sum", offsets=starts, axis=0, unsafe=True)
