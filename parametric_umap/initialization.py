"""Positions that the encoder learns first, in phase ``spectral_init``."""

from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_random_state

from .containers import as_numpy
from .graph import Graph
from .principal_axes import eigenvectors_of_covariance
from .spectral import spectral_layout
from .typing import FloatArray, Matrix


def starting_positions(
    init: Literal["spectral", "pca"],
    X: Matrix,
    graph: Graph,
    n_components: int,
    *,
    scale: float,
    random_state: int | np.random.RandomState,
) -> torch.Tensor:
    """Find the positions that the encoder learns before it learns the graph, where the graph is.

    Parameters
    ----------
    init, X, n_components, scale, random_state
        As in `initial_positions`.
    graph : Graph
        The graph of the rows.

    Returns
    -------
    positions : Tensor of shape (n_samples, n_components), float32
        Finite, on the device of the graph.
    """
    positions = initial_positions(
        init, X, graph.to_scipy(), n_components, scale=scale, random_state=random_state, device=graph.device
    )
    return torch.from_numpy(positions).to(graph.device)


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
        Where large eigenproblems are solved, if it is a CUDA device.

    Returns
    -------
    positions : ndarray of shape (n_samples, n_components), float32
        Finite.

    Raises
    ------
    ValueError
        If "pca" cannot give that many coordinates.
    """
    random_state = check_random_state(random_state)
    if init == "spectral":
        positions = spectral_layout(X, graph, n_components, random_state, device)
    else:
        positions = _principal_components(X, n_components, random_state)
    return (scale * positions).astype(np.float32)


def _principal_components(X, n_components, random_state):
    """Principal components, the first with standard deviation 1, the others in proportion."""
    if n_components > min(X.shape):
        raise ValueError(
            f"init='pca' needs n_components <= min(X.shape) = {min(X.shape)}; n_components={n_components}."
        )
    iterative = n_components < min(X.shape)
    solver = "arpack" if sp.issparse(X) and iterative else "auto"
    seed = random_state.randint(np.iinfo(np.int32).max)
    if isinstance(X, torch.Tensor):
        centred = X - X.mean(dim=0, dtype=torch.float64)
        axes, _ = eigenvectors_of_covariance(centred)
        components = as_numpy(centred @ axes[:, :n_components])
    else:
        components = PCA(n_components, svd_solver=solver, random_state=seed).fit_transform(X)
    return components / (components[:, 0].std() or 1.0)


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
    positions = check_array(as_numpy(init), dtype=np.float32, copy=True, input_name="init")
    if positions.shape != (n_samples, n_components):
        raise ValueError(
            f"init has shape {positions.shape}; it must be 'spectral', 'pca', 'random' or an array of shape "
            f"(n_samples, n_components) = {(n_samples, n_components)}."
        )
    return positions
