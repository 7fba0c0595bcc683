"""The loss by which a decoder is trained, and its curves."""

from functools import partial
from numbers import Real

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils import check_array
from torch import nn

from ..containers import checked_rows
from ..engine import as_rows, training_mode
from ..losses import check_number

RECONSTRUCTION_LOSSES = {"mse": nn.functional.mse_loss, "bce": nn.functional.binary_cross_entropy}


def validation_rows(validation, X, random_state):
    """Choose the rows on which a decoder is judged.

    Parameters
    ----------
    validation : float, {array-like, sparse matrix, Tensor} or None
        A share of the rows, other rows, or none.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows of the fit.
    random_state : RandomState
        Draws the share.

    Returns
    -------
    held_out : ndarray of shape (n_samples,), bool
        Which rows of the fit the decoder must not be trained on.
    rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_validation, n_features) or None
        Those on which it is judged.

    Raises
    ------
    ValueError
        If other rows are not finite, or have another number of features.
    """
    n_samples, n_features = X.shape
    held_out = np.zeros(n_samples, dtype=bool)
    if validation is None:
        return held_out, None
    if isinstance(validation, Real):
        n_held_out = min(max(1, round(validation * n_samples)), n_samples - 1)
        held_out[random_state.permutation(n_samples)[:n_held_out]] = True
        return held_out, X[held_out]
    name = "reconstruction_validation"
    check = partial(check_array, accept_sparse="csr", dtype=[np.float64, np.float32], input_name=name)
    rows = checked_rows(validation, check, input_name=name)
    if rows.shape[1] != n_features:
        raise ValueError(f"{name} has {rows.shape[1]} features; it must have {n_features}, as X has.")
    return held_out, rows


def check_range(loss, X, name):
    """Make sure that rows are in the range of the loss.

    Parameters
    ----------
    loss : {"mse", "bce"} or callable
        The parameter `reconstruction_loss`.
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features)
        Rows.
    name : str
        What the error calls them.

    Raises
    ------
    ValueError
        If it is "bce", and a value is below 0 or above 1.
    """
    if isinstance(loss, str) and loss == "bce" and (X.min() < 0 or X.max() > 1):
        raise ValueError(
            f"reconstruction_loss='bce' needs {name} from 0 to 1; it goes from {X.min():.3g} to {X.max():.3g}."
        )


class Reconstruction(nn.Module):
    """How far the decoder's rows are from those that were encoded.

    Parameters
    ----------
    decoder : torch.nn.Module
        It is trained.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    loss : {"mse", "bce"} or callable
        Of the decoder's rows and the true ones, in the user's units. "mse" is relative to the rows' variance.
    weight : float
        Factor of the loss.
    autoencoder : bool
        Whether its gradient reaches the encoder.
    held_out : ndarray of shape (n_samples,), bool
        Rows that the decoder is not trained on.
    device : torch.device
        Where it is trained.
    """

    def __init__(self, decoder, X, *, loss, weight, autoencoder, held_out, device):
        super().__init__()
        self.decoder = decoder
        check_range(loss, X, "X")
        self.rows = as_rows(X, torch.Tensor.float, device)
        self.loss = RECONSTRUCTION_LOSSES.get(loss, loss) if isinstance(loss, str) else loss
        self.name_of_loss = loss
        self.unit = max(_variance(X), np.finfo(np.float32).tiny) if loss == "mse" else 1.0
        self.weight = weight
        self.autoencoder = autoencoder
        self.held_out = torch.from_numpy(held_out).to(device) if held_out.any() else None
        self.register_buffer("total", torch.zeros((), device=device), persistent=False)
        self.to(device)
        with torch.no_grad():
            rows = self.rows.index_select(0, torch.arange(1, device=device))
            check_number(self.loss(rows, rows), "reconstruction_loss")

    def forward(self, batch):
        """The loss of a batch."""
        z = batch.z if self.autoencoder else batch.z.detach()
        rows, encoded = self.rows, batch.encoded
        if self.held_out is not None:  # no gradient of theirs
            kept = (~self.held_out[encoded]).nonzero()[:, 0]
            if not len(kept):
                return 0 * batch.z.sum()
            z, encoded = z[kept], encoded[kept]
        loss = self.value(z, rows.index_select(0, encoded))
        self.total += loss.detach()
        return self.weight * loss

    def value(self, z, x):
        """The loss of coordinates whose rows should be x."""
        return self.loss(self.decoder(z), x) / self.unit

    def mean_of_epoch(self, n_batches):
        """The mean loss since this was last asked for."""
        mean = self.total.item() / n_batches
        self.total.zero_()
        return mean


class ReconstructionCurve:
    """Writes down the losses of the decoder, epoch by epoch, on the rows of training and on others.

    Parameters
    ----------
    term : Reconstruction
        What is trained.
    prepare, network : callable, torch.nn.Module
        The parts of the encoder.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_validation, n_features) or None
        Rows that the decoder is not trained on.
    device : torch.device
        Where it is trained.

    Attributes
    ----------
    losses : dict of {str: list of float}
        "reconstruction", and "reconstruction_validation" where there are rows for it.
    """

    def __init__(self, term, prepare, network, X, device):
        self.term, self.network = term, network
        self.losses = {"reconstruction": []}
        if X is not None:
            check_range(term.name_of_loss, X, "reconstruction_validation")
            self.rows = as_rows(X, torch.Tensor.float, device)
            self.prepared = as_rows(X, prepare, device)
            self.losses["reconstruction_validation"] = []

    def curves(self):
        """The losses as arrays of shape (n_epochs,), float64."""
        return {name: np.array(losses) for name, losses in self.losses.items()}

    def after_epoch(self, n_batches):
        """Add the losses of an epoch."""
        self.losses["reconstruction"].append(self.term.mean_of_epoch(n_batches))
        if "reconstruction_validation" in self.losses:
            self.losses["reconstruction_validation"].append(self._validation_loss())

    def _validation_loss(self, n_rows=8192):
        self.network.eval()
        self.term.eval()
        total, n = 0.0, len(self.rows)
        with torch.inference_mode():
            for index in torch.arange(n, device=self.term.total.device).split(n_rows):
                z = self.network(self.prepared.index_select(0, index))
                total += len(index) * self.term.value(z, self.rows.index_select(0, index)).item()
        training_mode(self.network)
        training_mode(self.term)
        return total / n


def _variance(X, n_rows=5000):
    sample = X[:: -(-X.shape[0] // n_rows)]
    if isinstance(sample, torch.Tensor):
        return sample.double().var(dim=0, correction=0).mean().item()
    return float(np.var(sample.toarray() if sp.issparse(sample) else sample, axis=0, dtype=np.float64).mean())
