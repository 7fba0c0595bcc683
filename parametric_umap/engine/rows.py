"""Rows of data as the network takes them: float32 tensors on the device, gathered by index."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch

from ..containers import as_tensor, device_of, to_tensor
from ..room import available_bytes
from ..threads import allotted_threads, limited_threads
from .staging import Staging, copy_into

# Rows that are looked at together hold so many bytes, on the CPU in float64.
CHUNK_BYTES = 2**25
CHUNK_BYTES_ON_A_DEVICE = 2**25
# Sparse rows that are wider once prepared stay sparse.
DENSE_WIDTH = 256


def as_rows(X, prepare, device):
    """Make the rows of X available to the engine, prepared and on the device.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    prepare : callable
        Maps a tensor of rows to what the network takes, such as `Standardize`.
    device : torch.device
        Where the network is.

    Returns
    -------
    rows : Tensor or HostRows
        ``rows.index_select(0, index)`` gives the prepared rows of an index tensor; dense, float32 and on the device.
        Rows stay as they are where they are sparse and wide, or would take more than half of the device's free memory.
    """
    width = prepare(to_tensor(X[:1], device)).shape[1]
    if (sp.issparse(X) and width > DENSE_WIDTH) or 4 * X.shape[0] * width > _room(device):
        return HostRows(X, width, prepare, device)
    rows = torch.empty((X.shape[0], width), dtype=torch.float32, device=device)
    for chunk, x in chunks_on(X, device):
        rows[chunk] = prepare(x)
    return rows


def placed_rows(X, device):
    """Put dense rows of the host on a device, once for all that is done with them there, if they fit.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    device : torch.device
        Where they are needed.

    Returns
    -------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        A tensor on the device. The same where rows are sparse or a tensor, would take more than half of a GPU's free
        memory, or the device is the CPU, or MPS, which has no float64.
    """
    if device.type in ("cpu", "mps") or isinstance(X, torch.Tensor) or sp.issparse(X) or X.nbytes > _room(device):
        return X
    rows = torch.empty(X.shape, dtype=torch.float32 if X.dtype == np.float32 else torch.float64, device=device)
    for chunk, x in chunks_on(X, device):
        rows[chunk] = x
    return rows


def _room(device):
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else available_bytes() / 2


def chunks_on(X, device):
    """Bring rows to a device, some at a time, the next while the last are used.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    device : torch.device
        Where they are needed.

    Yields
    ------
    chunk : slice
        Which rows.
    x : Tensor of shape (n_rows, n_features), float32 or float64
        A dense copy of them on the device; float64 stays where the device has it.
    """
    if device.type == "cpu" or isinstance(X, torch.Tensor):
        for chunk in _chunks(X, device):
            yield chunk, to_tensor(X[chunk], device)
        return
    chunks = _chunks(X, device)
    staging, coming = Staging(X, min(chunks[0].stop, X.shape[0]), device), None
    for chunk in [*chunks, None]:
        ready = coming
        if chunk is not None:
            rows = X[chunk]
            coming = chunk, staging.send(rows.shape[0], partial(copy_into, X=rows), _as_it_is)
        if ready is not None:
            yield ready[0], staging.received(ready[1])


def _as_it_is(rows):
    return rows


def _chunks(X, device):
    n_bytes, width = (CHUNK_BYTES, 8) if device.type == "cpu" else (CHUNK_BYTES_ON_A_DEVICE, X.dtype.itemsize)
    n_rows = max(256, n_bytes // (width * X.shape[1]))
    return [slice(start, start + n_rows) for start in range(0, max(1, X.shape[0]), n_rows)]  # one of no rows, too


class HostRows:
    """Rows that stay as they are, most often in the host's memory, and come to the network a batch at a time.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    width : int
        Number of features of a prepared row.
    prepare : callable
        Maps a tensor of dense rows to what the network takes.
    device : torch.device
        Where the rows are needed.
    """

    def __init__(self, X, width, prepare, device):
        self.X = X
        self.shape = (X.shape[0], width)
        self.dtype = torch.float32
        self.prepare = prepare
        self.device = device

    def __len__(self):
        return self.shape[0]

    def to(self, dtype):
        """Give the same rows in another precision; named as a tensor's own method."""
        rows = HostRows(self.X, self.shape[1], lambda x: self.prepare(x).to(dtype), self.device)
        rows.dtype = dtype
        return rows

    def index_select(self, dim, index):
        """Take rows by an index tensor; named as a tensor's own method. `dim` is 0."""
        if isinstance(self.X, torch.Tensor):
            return self.prepare(self.X.index_select(0, index.to(self.X.device)).to(self.device))
        return self.prepare(to_tensor(self.X[index.cpu().numpy()], self.device))

    def batches(self, indices):
        """Take the rows of one batch after the other, the next while the last is used.

        Parameters
        ----------
        indices : sequence of Tensor of shape (n_rows,), int64
            The rows of each batch.

        Yields
        ------
        rows : Tensor of shape (n_rows, width), float32
            Those of the next batch.
        """
        send, received = self._ways(max(map(len, indices)))
        with ThreadPoolExecutor(1) as background:
            coming = [background.submit(send, index) for index in indices[:1]]
            for index in [*indices[1:], None]:
                rows = received(coming.pop().result())
                if index is not None:
                    coming.append(background.submit(send, index))
                yield rows

    def _ways(self, n_rows):
        """How a batch of at most so many rows is sent, and received."""
        if self.device.type == "cpu" or isinstance(self.X, torch.Tensor):
            return partial(self.index_select, 0), _as_it_is
        staging = Staging(self.X, n_rows, self.device)
        return lambda index: staging.send(len(index), partial(self._gather, index), self.prepare), staging.received

    def _gather(self, index, rows):
        if sp.issparse(self.X) or self.device.type == "mps":
            copy_into(rows, self.X[index.cpu().numpy()])
        else:
            torch.index_select(as_tensor(self.X), 0, index.cpu(), out=rows)


def feature_gap(X, prepare, neighbors, n_samples=256):
    """Measure how far a row lies from its nearest neighbour, in each feature that the network takes.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    prepare : callable
        Maps a tensor of rows to what the network takes.
    neighbors : Neighbors
        Those of each row, on the device of the network.
    n_samples : int, default=256
        Number of rows, evenly spaced, that are measured.

    Returns
    -------
    gap : float
        Median distance to the nearest neighbour, divided by the square root of the number of features: Gaussian noise
        of this standard deviation in every feature moves a row as far as its nearest neighbour is. 0 where none of the
        sample has any.
    """
    device = neighbors.device
    rows = HostRows(X, prepare(to_tensor(X[:1], device)).shape[1], prepare, device)
    n_rows = len(neighbors.indices)  # there may be rows behind these, whose neighbours are not known
    sample = torch.linspace(0, n_rows - 1, min(n_samples, n_rows), dtype=torch.float64).long().to(device)
    nearest = neighbors.indices[:, 1].index_select(0, sample).long()
    sampled, near = (rows.index_select(0, index) for index in (sample, nearest.clamp(min=0)))
    distances = torch.where(nearest >= 0, (sampled - near).norm(dim=1), torch.nan).cpu()  # the one wait
    return torch.nan_to_num(distances.nanmedian(), nan=0.0, posinf=torch.inf).item() / rows.shape[1] ** 0.5


def embed(prepare, network, X, device):
    """Map rows by a trained network, in batches that bound the memory.

    Parameters
    ----------
    prepare : callable
        Maps a tensor of rows to what the network takes.
    network : torch.nn.Module
        In evaluation mode, on the device.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows, in the user's units.
    device : torch.device
        Where the network is.

    Returns
    -------
    embedding : Tensor of shape (n_samples, n_components), float32, where X is
        Their coordinates.

    Raises
    ------
    ValueError
        If a coordinate is not finite: the rows lie so far from the fitted ones that the network overflows.
    """
    with limited_threads(allotted_threads()), torch.inference_mode():
        parts = [network(prepare(x)) for _, x in chunks_on(X, device)]
    embedding = torch.cat(parts)
    if not embedding.isfinite().all():
        raise ValueError(
            "X has rows for which the encoder's output is not finite: they are too far from the fitted ones."
        )
    return embedding.to(device_of(X))
