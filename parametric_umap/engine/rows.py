"""Rows of data as the network takes them: float32 tensors on the device, gathered by index."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
import torch

from .threads import allotted_threads, limited_threads

CHUNK_BYTES = 2**27
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
        Rows stay as they are where they are sparse and wide, or would take more than half of a GPU's free memory.
    """
    width = prepare(to_tensor(X[:1], device)).shape[1]
    if (sp.issparse(X) and width > DENSE_WIDTH) or 4 * X.shape[0] * width > _room(device):
        return HostRows(X, width, prepare, device)
    rows = torch.empty((X.shape[0], width), dtype=torch.float32, device=device)
    for chunk in _chunks(X):
        rows[chunk] = prepare(to_tensor(X[chunk], device))
    return rows


def _room(device):
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else np.inf


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
        from_the_host = device.type == "cuda" and not isinstance(X, torch.Tensor)
        self.stream = torch.cuda.Stream(device) if from_the_host else None

    def __len__(self):
        return self.shape[0]

    def index_select(self, dim, index):
        """Take rows by an index tensor; named as a tensor's own method. `dim` is 0."""
        if isinstance(self.X, torch.Tensor):
            return self.prepare(self.X.index_select(0, index.to(self.X.device)).to(self.device))
        rows = to_tensor(self.X[index.cpu().numpy()], "cpu")
        if self.stream is None:
            return self.prepare(rows.to(self.device))
        with torch.cuda.stream(self.stream):  # only on a GPU: beside the step that is running
            return self.prepare(rows.pin_memory().to(self.device, non_blocking=True))

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
        with ThreadPoolExecutor(1) as background:
            coming = [background.submit(self.index_select, 0, index) for index in indices[:1]]
            for index in [*indices[1:], None]:
                rows = coming.pop().result()
                if self.stream is not None:  # only on a GPU
                    torch.cuda.current_stream(self.device).wait_stream(self.stream)
                    rows.record_stream(torch.cuda.current_stream(self.device))
                if index is not None:
                    coming.append(background.submit(self.index_select, 0, index))
                yield rows


def feature_gap(rows, neighbors, n_samples=256):
    """Measure how far a row lies from its nearest neighbour, in each feature.

    Parameters
    ----------
    rows : Tensor or HostRows
        What `as_rows` made of the data.
    neighbors : Neighbors
        Those of each row, on the same device.
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
    sample = torch.linspace(0, len(rows) - 1, min(n_samples, len(rows)), dtype=torch.float64).long().to(device)
    nearest = neighbors.indices[:, 1].index_select(0, sample).long()
    sampled, near = (rows.index_select(0, index) for index in (sample, nearest.clamp(min=0)))
    distances = torch.where(nearest >= 0, (sampled - near).norm(dim=1), torch.nan)
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
        parts = [network(prepare(to_tensor(X[chunk], device))).to(device_of(X)) for chunk in _chunks(X)]
    embedding = torch.cat(parts)
    if not embedding.isfinite().all():
        raise ValueError(
            "X has rows for which the encoder's output is not finite: they are too far from the fitted ones."
        )
    return embedding


def to_tensor(X, device):
    """Copy rows to a dense tensor on the device; float64 stays where the device has it."""
    if isinstance(X, torch.Tensor):
        return X.to(device, copy=True, memory_format=torch.contiguous_format)
    X = X.toarray() if sp.issparse(X) else np.array(X, order="C")
    return torch.from_numpy(X).to(device, dtype=torch.float32 if torch.device(device).type == "mps" else None)


def device_of(X):
    """Where rows are: the device of a tensor, the CPU for those of NumPy and SciPy."""
    return X.device if isinstance(X, torch.Tensor) else torch.device("cpu")


def _chunks(X):
    n_rows = max(256, CHUNK_BYTES // (8 * X.shape[1]))
    return [slice(start, start + n_rows) for start in range(0, X.shape[0], n_rows)]
