"""Rows of the host on their way to a device: two pinned buffers, one filled while the other is sent."""

from contextlib import nullcontext

import numpy as np
import scipy.sparse as sp
import torch

from ..containers import as_tensor


class Staging:
    """Sends rows to a device, beside what it computes.

    The copy to a device runs by itself only out of pinned memory. A buffer is filled again once its last copy is over.
    On a device that is not CUDA's everything happens one after the other.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32 or float64
        The rows; the buffers have their width and their type, but for MPS, which has no float64.
    n_rows : int
        Number of rows that are sent at most at a time.
    device : torch.device
        Where the rows are needed.
    """

    def __init__(self, X, n_rows, device):
        dtype = torch.float32 if X.dtype == np.float32 or device.type == "mps" else torch.float64
        self.device = device
        self.is_cuda = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if self.is_cuda else None
        self.buffers = [torch.empty((n_rows, X.shape[1]), dtype=dtype, pin_memory=self.is_cuda) for _ in range(2)]
        self.sent = [torch.cuda.Event() for _ in range(2)] if self.is_cuda else [None, None]
        if self.is_cuda:  # only on a GPU: what `prepare` reads may still be on its way
            self.stream.wait_stream(torch.cuda.current_stream(device))

    def send(self, n_rows, fill, prepare):
        """Send some rows.

        Parameters
        ----------
        n_rows : int
            How many.
        fill : callable
            Writes them into a tensor of shape (n_rows, width).
        prepare : callable
            Maps them, on the device, to what is needed of them there.

        Returns
        -------
        sent : tuple of (Tensor, torch.cuda.Event or None)
            For `received`.
        """
        self.buffers.reverse()
        self.sent.reverse()
        if self.is_cuda:  # only on a GPU
            self.sent[0].synchronize()
        rows = self.buffers[0][:n_rows]
        fill(rows)
        with torch.cuda.stream(self.stream) if self.is_cuda else nullcontext():
            rows = rows.to(self.device, copy=True, non_blocking=True)
            if self.is_cuda:  # only on a GPU
                self.sent[0].record(self.stream)
            rows = prepare(rows)
            is_ready = torch.cuda.Event() if self.is_cuda else None
            if self.is_cuda:  # only on a GPU
                is_ready.record(self.stream)
        return rows, is_ready

    def received(self, sent):
        """Take rows that were sent, in the stream that goes on with them.

        Parameters
        ----------
        sent : tuple
            What `send` gave.

        Returns
        -------
        rows : Tensor
            What `prepare` made of the rows.
        """
        rows, is_ready = sent
        if self.is_cuda:  # only on a GPU
            current = torch.cuda.current_stream(self.device)
            current.wait_event(is_ready)
            rows.record_stream(current)  # or the memory might be used anew by the stream that it came by
        return rows


def copy_into(rows, X):
    """Write rows of the host into a tensor.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, n_features), float32 or float64
        It is written, in several threads if it is large.
    X : {ndarray, csr_matrix, csr_array} of shape (n_rows, n_features)
        The rows.
    """
    if sp.issparse(X):
        X.astype(rows.numpy().dtype, copy=False).toarray(out=rows.numpy())
    else:
        rows.copy_(as_tensor(X))
