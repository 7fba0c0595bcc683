"""The loss by which a decoder is trained, and the rows on which it is judged."""

from functools import partial
from numbers import Real

import numpy as np
import torch
from sklearn.utils import check_array
from torch import nn

from ..containers import checked_rows
from ..engine import Term, as_rows, training_mode
from ..losses import check_number
from ..moments import moments_of

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
    try:
        rows = checked_rows(validation, check, input_name=name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} holds no rows: {error}") from error
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


class Reconstruction(Term):
    """How far the decoder's rows are from those that were encoded.

    Parameters
    ----------
    decoder : torch.nn.Module
        It is trained.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    loss : {"mse", "bce"} or callable
        Of the decoder's rows and the true ones: of "mse" in units of their standard deviation, else in the user's.
    weight : float
        Factor of the loss.
    autoencoder : bool
        Whether its gradient reaches the encoder.
    held_out : ndarray of shape (n_samples,), bool
        Rows that the decoder is not trained on.
    draw_in : callable, default=torch.Tensor.float
        Maps a tensor of rows, of any floating dtype, to what the decoder should give for them, float32.
    validation : Validation or None, default=None
        Rows on which the decoder is judged after every epoch.
    device : torch.device
        Where it is trained.
    """

    def __init__(
        self,
        decoder,
        X,
        *,
        loss,
        weight,
        autoencoder,
        held_out,
        draw_in=torch.Tensor.float,
        validation=None,
        device,
    ):
        super().__init__()
        self.decoder = decoder
        check_range(loss, X, "X")
        self.rows = as_rows(X, draw_in, device)
        self.is_named = isinstance(loss, str)
        self.loss = RECONSTRUCTION_LOSSES[loss] if self.is_named else loss
        self.unit = max(_deviation(X), np.finfo(np.float32).tiny) if loss == "mse" else 1.0
        self.weight = weight
        self.autoencoder = autoencoder
        self.kept = torch.from_numpy(~held_out).to(device) if held_out.any() else None
        self.validation = validation
        self.register_buffer("total", torch.zeros((), device=device), persistent=False)
        self.to(device)
        with torch.no_grad():
            rows = self.rows.index_select(0, torch.arange(1, device=device))
            check_number(self.loss(rows, rows), "reconstruction_loss")

    def forward(self, batch):
        """The loss of a batch."""
        z, encoded = batch.z if self.autoencoder else batch.z.detach(), batch.encoded
        kept = None if self.kept is None else self.kept.index_select(0, encoded)  # no gradient of the others
        if kept is not None and not self.is_named:  # a GPU waits for their number: such a step is not captured
            z, encoded, kept = z[kept], encoded[kept], None
            if not len(encoded):
                return 0 * batch.z.sum()
        loss = self.value(z, self.rows.index_select(0, encoded), kept)
        self.total += loss.detach()
        return self.weight * loss

    def value(self, z, x, kept=None):
        """The loss of coordinates whose rows should be x; of those that are kept."""
        if not self.is_named:
            return self.loss(self.decoder(z), x)
        of_rows = self.loss(self.decoder(z) / self.unit, x / self.unit, reduction="none").mean(dim=1)
        if kept is None:
            return of_rows.mean()
        return torch.where(kept, of_rows, 0).sum() / kept.sum().clamp(min=1)

    def after_epoch(self, n_batches):
        """The mean loss of the epoch, and that of the rows of validation."""
        losses = {"reconstruction": self.total.item() / n_batches}
        self.total.zero_()
        if self.validation is not None:
            losses["reconstruction_validation"] = self.validation.loss_of(self)
        return losses


class Validation:
    """Rows on which a decoder is judged, and the encoder that maps them.

    Parameters
    ----------
    prepare, network : callable, torch.nn.Module
        The parts of the encoder.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_validation, n_features)
        Rows that the decoder is not trained on.
    loss : {"mse", "bce"} or callable
        By which it is judged.
    draw_in : callable
        As in `Reconstruction`.
    device : torch.device
        Where it is trained.
    """

    def __init__(self, prepare, network, X, loss, draw_in, device):
        check_range(loss, X, "reconstruction_validation")
        self.network = network
        self.rows = as_rows(X, draw_in, device)
        self.prepared = as_rows(X, prepare, device)
        self.device = device

    def loss_of(self, term, n_rows=8192):
        """The mean loss of all rows, with encoder and decoder in evaluation mode meanwhile."""
        modules = nn.ModuleList([self.network, term])
        modules.eval()
        total, n = 0.0, len(self.rows)
        with torch.inference_mode():
            for index in torch.arange(n, device=self.device).split(n_rows):
                z = self.network(self.prepared.index_select(0, index))
                total += len(index) * term.value(z, self.rows.index_select(0, index)).item()
        training_mode(modules)
        return total / n


def _deviation(X, n_rows=5000):
    return moments_of(X[:: -(-X.shape[0] // n_rows)]).deviation
