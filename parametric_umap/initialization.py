"""Positions that the encoder learns first, in phase ``spectral_init``."""

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_random_state

from .containers import as_numpy, as_tensor, refuse_masked
from .graph import Graph
from .moments import FAR, moments_of, sizes_of_sparse
from .on_device import float64_device
from .principal_axes import eigenvectors_of_covariance
from .spectral import layout_of, standardize
from .typing import FloatArray, Matrix

# Of sparse rows up to this width the whole covariance is decomposed.
COVARIANCE_WIDTH = 1000


def starting_positions(
    init: Literal["spectral", "pca"],
    X: Matrix,
    graph: Graph,
    n_components: int,
    *,
    scale: float,
    random_state: int | np.random.RandomState,
    n_guides: int = 0,
) -> torch.Tensor:
    """Find the positions that the encoder learns before it learns the graph, where the graph is.

    Parameters
    ----------
    init, X, n_components, scale, random_state
        As in `initial_positions`.
    graph : Graph
        The graph of the rows.
    n_guides : int, default=0
        Number of further coordinates of "spectral".

    Returns
    -------
    positions : Tensor of shape (n_samples, n_components + n_guides), float32
        Finite, on the device of the graph.
    """
    random_state = check_random_state(random_state)
    if init == "spectral":
        graph_of_float64 = graph.to(float64_device(graph.device))
        positions = standardize(layout_of(X, graph_of_float64, n_components, random_state, n_guides))
    else:
        positions = _principal_components(X, n_components, random_state)
    return (scale * positions).float().to(graph.device)


def initial_positions(
    init: Literal["spectral", "pca"],
    X: Matrix,
    graph: sp.csr_array,
    n_components: int,
    *,
    scale: float,
    random_state: int | np.random.RandomState,
    device: str | torch.device = "cpu",
) -> FloatArray:
    """Find the positions that the encoder learns before it learns the graph.

    Parameters
    ----------
    init : {"spectral", "pca"}
        How.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float
        The rows.
    graph : csr_array of shape (n_samples, n_samples), float
        Their graph.
    n_components : int
        Number of coordinates.
    scale : float
        Standard deviation of every coordinate of "spectral", and of the first of "pca".
    random_state : int or RandomState
        Where iterative solvers start.
    device : str or torch.device, default="cpu"
        Where the graph is laid out.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float32
        Finite.

    Raises
    ------
    ValueError
        If "pca" cannot give that many coordinates.
    """
    how: dict[str, Any] = {"scale": scale, "random_state": random_state}
    return starting_positions(init, X, Graph.of(graph, device), n_components, **how).cpu().numpy()


def _principal_components(X, n_components, random_state):
    """Principal components, the first with standard deviation 1, the others in proportion."""
    if n_components > min(X.shape):
        raise ValueError(
            f"init='pca' needs n_components <= min(X.shape) = {min(X.shape)}; n_components={n_components}."
        )
    X = _without_far_rows(X)
    largest = abs(X).max()
    if largest > 0:
        X = X / largest  # squares of rows in any unit are finite then
    if isinstance(X, torch.Tensor):
        centred = X - X.mean(dim=0, dtype=torch.float64)
        components = centred @ eigenvectors_of_covariance(centred)[0][:, :n_components]
    else:
        if sp.issparse(X) and n_components == min(X.shape) and X.shape[1] > COVARIANCE_WIDTH:
            X = X.toarray()  # of few rows
        sparse_solver = "covariance_eigh" if X.shape[1] <= COVARIANCE_WIDTH else "arpack"
        solver = sparse_solver if sp.issparse(X) else "auto"
        seed = random_state.randint(np.iinfo(np.int32).max)
        with np.errstate(invalid="ignore"):  # of equal rows it divides by their variance
            components = PCA(n_components, svd_solver=solver, random_state=seed).fit_transform(X)
        components = torch.from_numpy(np.ascontiguousarray(components))
    spread = components[:, 0].std(correction=0)
    return components / torch.where(spread > 0, spread, 1)


def _without_far_rows(X):
    """The rows, those that are far from most drawn in to where these are, so that they do not turn the axes."""
    mean, _, _, limit = moments_of(X)
    if sp.issparse(X):
        sizes = sizes_of_sparse(X).numpy()
        if (sizes <= limit).all():
            return X
        return sp.diags_array(np.where(sizes > limit, limit / FAR / np.maximum(sizes, limit), 1)) @ X
    rows = X if isinstance(X, torch.Tensor) else as_tensor(X)
    mean = mean.to(rows.dtype)
    sizes = (rows - mean).abs_().amax(dim=1, keepdim=True)
    if (sizes <= limit).all():
        return X
    rows = mean + (rows - mean) * torch.where(sizes > limit, limit / FAR / sizes.clamp(min=limit), 1)
    return rows if isinstance(X, torch.Tensor) else rows.numpy()


def checked_positions(init: ArrayLike, n_samples: int, n_components: int) -> FloatArray:
    """Make sure that given positions are finite, and one for each row.

    Parameters
    ----------
    init : array-like
        What the user gave.
    n_samples, n_components : int
        The shape that it must have.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float32
        A copy.

    Raises
    ------
    ValueError
        If the shape is another, or a value is not finite.
    """
    refuse_masked(init=init)
    try:
        positions = check_array(as_numpy(init), dtype=np.float32, copy=True, input_name="init")
    except (TypeError, ValueError) as error:
        raise ValueError(f"init holds no positions: {error}") from error
    if positions.shape != (n_samples, n_components):
        raise ValueError(
            f"init has shape {positions.shape}; it must be 'spectral', 'pca', 'random' or an array of shape "
            f"(n_samples, n_components) = {(n_samples, n_components)}."
        )
    return positions
