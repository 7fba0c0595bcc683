"""The layout of a graph: its components by their eigenvectors, around each other by their rows."""

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from sklearn.decomposition import PCA

from ..graph import Graph
from ..on_device import float64_device
from ..typing import Matrix
from .components import component_of_nodes
from .eigenmap import DENSE_NODES, eigenmap

COLUMN_BYTES = 2**28  # of the rows' columns whose means are taken at a time


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
        Symmetric weights; they are taken as float32.
    n_components : int
        Number of coordinates.
    random_state : RandomState
        Where iterative eigensolvers start.
    device : str or torch.device, default="cpu"
        Where large eigenproblems are solved.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float64
        Each coordinate with mean 0 and standard deviation 1 (or 0, where the graph has no more to tell).

    References
    ----------
    Belkin, Niyogi 2003, Laplacian Eigenmaps for Dimensionality Reduction and Data Representation.
    """
    positions = layout_of(X, Graph.of(graph, float64_device(device)), n_components, random_state)
    return standardize(positions).cpu().numpy()


def layout_of(
    X: Matrix, graph: Graph, n_components: int, random_state: np.random.RandomState, n_guides: int = 0
) -> torch.Tensor:
    """Lay out the nodes of a graph, where it is.

    Parameters
    ----------
    X, n_components, random_state
        As in `spectral_layout`.
    graph : Graph
        On a device that has float64.
    n_guides : int, default=0
        Number of further coordinates, which say more of the graph, and change nothing of the others.

    Returns
    -------
    positions : Tensor of shape (n_samples, n_components + n_guides), float64
        The same, but not standardized, on the device of the graph.
    """
    n_columns = n_components + n_guides
    component = component_of_nodes(graph)
    sizes = component.bincount().tolist()
    if len(sizes) == 1:
        return eigenmap(graph, n_columns, random_state)
    order = component.argsort(stable=True)
    centres = _centres(_means(X, component, order, sizes), n_columns)
    around = zip(_parts(graph, order, sizes), centres, _radii(centres[:, :n_components]), strict=True)
    positions = torch.empty((len(graph), n_columns), dtype=torch.float64, device=graph.device)
    positions[order] = torch.cat(
        [
            _within(radius, eigenmap(part, n_columns, random_state), centre, n_components).to(graph.device)
            for part, centre, radius in around
        ]
    )
    return positions


def _within(radius, layout, centre, n_components):
    """A layout around a centre, of this radius in the widest of its first coordinates."""
    largest = layout[:, :n_components].abs().max().clamp(min=torch.finfo(layout.dtype).tiny)
    return torch.from_numpy(centre).to(layout.device) + radius * layout / largest


def _parts(graph, order, sizes):
    """The components of a graph, each as a graph; small ones on the host, where they are laid out.

    Once the nodes are in the order of their components, each component is a block of rows.
    """
    degrees = graph.degrees.index_select(0, order)
    starts = torch.cat([degrees.new_zeros(1), degrees.cumsum(dim=0)])
    rows = torch.arange(len(order), device=graph.device).repeat_interleave(degrees, output_size=len(graph.ends))
    shift = (graph.starts[order] - starts[:-1]).index_select(0, rows)
    of_edges = torch.arange(len(graph.ends), device=graph.device) + shift
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=graph.device)
    ends = rank.index_select(0, graph.ends.index_select(0, of_edges)).int()
    ordered = Graph(starts, ends, graph.weights.index_select(0, of_edges))
    on_host, first = ordered.to("cpu"), 0
    for size in sizes:
        whole = on_host if size <= DENSE_NODES else ordered
        begin, end = on_host.starts[first].item(), on_host.starts[first + size].item()
        of_part = whole.starts[first : first + size + 1] - begin
        yield Graph(of_part, whole.ends[begin:end] - first, whole.weights[begin:end])
        first += size


def _centres(means, n_components):
    """The mean rows of the components, in their first principal components."""
    n_parts, n_features = means.shape
    n_axes = min(n_components, n_parts - 1, n_features)
    centres = np.zeros((n_parts, n_components))
    if abs(means.max(axis=0) - means.min(axis=0)).max() == 0:
        return centres
    solver = "arpack" if n_axes < min(means.shape) else "full"
    if sp.issparse(means) and solver == "full":
        means = means.toarray()
    centres[:, :n_axes] = PCA(n_axes, svd_solver=solver, random_state=0).fit_transform(means)
    return centres


def _means(X, component, order, sizes, n_rows=4096):
    """The mean rows of the components. They are summed in float64, and so are the rows taken: few at a time."""
    if isinstance(X, torch.Tensor):
        return _means_of_tensor(X, order.to(X.device), sizes)
    component = component.cpu().numpy()
    share = sp.csr_array((1 / np.array(sizes)[component], (np.arange(len(component)), component)))
    chunks = (slice(start, start + n_rows) for start in range(0, len(component), n_rows))
    return sum(share[chunk].T @ X[chunk] for chunk in chunks)


def _means_of_tensor(X, order, sizes):
    lengths = torch.tensor(sizes, device=X.device)
    n_columns = max(1, COLUMN_BYTES // (8 * len(X)))
    means = [
        torch.segment_reduce(columns.index_select(0, order).double(), "mean", lengths=lengths, axis=0, unsafe=True)
        for columns in X.split(n_columns, dim=1)
    ]
    return torch.cat(means, dim=1).cpu().numpy()


def _radii(centres):
    """Half of the distance from each centre to the nearest other one, and no less than a hundredth of the extent."""
    extent = np.ptp(centres, axis=0).max() or 1.0
    gaps, _ = KDTree(centres).query(centres, k=2)
    return np.maximum(gaps[:, 1] / 2, extent / 100)


def standardize(positions: torch.Tensor) -> torch.Tensor:
    """Shift and scale each coordinate to mean 0 and standard deviation 1.

    Parameters
    ----------
    positions : Tensor of shape (n_samples, n_components), float
        Any positions.

    Returns
    -------
    standardized : Tensor of shape (n_samples, n_components), float64
        The positions; a constant coordinate becomes 0.
    """
    positions = positions.double()
    centred = positions - positions.mean(dim=0)
    spread = centred.std(dim=0, correction=0)
    negligible = spread <= torch.finfo(torch.float64).eps * positions.abs().amax(dim=0)
    return torch.where(negligible, 0, centred) / torch.where(negligible, 1, spread)
