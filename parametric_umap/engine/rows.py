"""Rows of data as the network takes them: float32 tensors on the device, gathered by index."""

import numpy as np
import scipy.sparse as sp
import torch

CHUNK_BYTES = 2**27
# Sparse rows that are wider once prepared stay sparse.
DENSE_WIDTH = 256


def as_rows(X, prepare, device):
    """Make the rows of X available to the engine, prepared and on the device.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows.
    prepare : callable
        Maps a tensor of rows to what the network takes, such as `Standardize`.
    device : torch.device
        Where the network is.

    Returns
    -------
    rows : Tensor or SparseRows
        ``rows.index_select(0, index)`` gives the prepared rows of an index tensor, ``rows[:]`` all; dense and float32.
    """
    width = prepare(to_tensor(X[:1], device)).shape[1]
    if sp.issparse(X) and width > DENSE_WIDTH:
        return SparseRows(X, prepare, device)
    rows = torch.empty((X.shape[0], width), dtype=torch.float32, device=device)
    for chunk in _chunks(X):
        rows[chunk] = prepare(to_tensor(X[chunk], device))
    return rows


class SparseRows:
    """Wide rows of a CSR matrix, made dense a batch at a time.

    Parameters
    ----------
    X : csr_matrix or csr_array of shape (n_samples, n_features)
        The rows.
    prepare : callable
        Maps a tensor of dense rows to what the network takes.
    device : torch.device
        Where the rows are needed.
    """

    def __init__(self, X, prepare, device):
        self.X = X
        self.shape = X.shape
        self.dtype = torch.float32
        self.prepare = prepare
        self.device = device

    def __len__(self):
        return self.X.shape[0]

    def __getitem__(self, index):
        return self.prepare(to_tensor(self.X[index], self.device))

    def index_select(self, dim, index):
        """Take rows by an index tensor; named as a tensor's own method, which is quicker than indexing. `dim` is 0."""
        return self[index.cpu().numpy()]


def feature_gap(rows, indices, n_samples=256):
    """Measure how far a row lies from its nearest neighbour, in each feature.

    Parameters
    ----------
    rows : Tensor or SparseRows
        What `as_rows` made of the data.
    indices : ndarray of shape (n_rows, n_neighbors), int
        The neighbours of each row, the row itself first.
    n_samples : int, default=256
        Number of rows, evenly spaced, that are measured.

    Returns
    -------
    gap : float
        Median distance to the nearest neighbour, divided by the square root of the number of features: Gaussian noise
        of this standard deviation in every feature moves a row as far as its nearest neighbour is.
    """
    sample = np.linspace(0, len(rows) - 1, min(n_samples, len(rows)), dtype=np.int64)
    nearest = torch.from_numpy(indices[sample, 1].astype(np.int64))
    sampled, near = (rows.index_select(0, index.to(rows.device)) for index in (torch.from_numpy(sample), nearest))
    difference = sampled - near
    return difference.norm(dim=1).median().item() / rows.shape[1] ** 0.5


def embed(prepare, network, X, device):
    """Map rows by a trained network, in batches that bound the memory.

    Parameters
    ----------
    prepare : callable
        Maps a tensor of rows to what the network takes.
    network : torch.nn.Module
        In evaluation mode, on the device.
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows, in the user's units.
    device : torch.device
        Where the network is.

    Returns
    -------
    embedding : ndarray of shape (n_samples, n_components), float32
        Their coordinates.

    Raises
    ------
    ValueError
        If a coordinate is not finite: the rows lie so far from the fitted ones that the network overflows.
    """
    with torch.inference_mode():
        parts = [network(prepare(to_tensor(X[chunk], device))).cpu() for chunk in _chunks(X)]
    embedding = torch.cat(parts).numpy()
    if not np.isfinite(embedding).all():
        raise ValueError(
            "X has rows for which the encoder's output is not finite: they are too far from the fitted ones."
        )
    return embedding


def to_tensor(X, device):
    """Copy rows to a dense tensor on the device; float64 stays where the device has it."""
    X = X.toarray() if sp.issparse(X) else np.array(X, order="C")
    return torch.from_numpy(X).to(device, dtype=torch.float32 if torch.device(device).type == "mps" else None)


def _chunks(X):
    n_rows = max(256, CHUNK_BYTES // (8 * X.shape[1]))
    return [slice(start, start + n_rows) for start in range(0, X.shape[0], n_rows)]
