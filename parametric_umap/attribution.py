"""How each feature moves each point: the derivative of the map."""

import numpy as np
import torch
from sklearn.utils import Bunch

from .containers import as_numpy, to_tensor
from .threads import allotted_threads, limited_threads

CHUNK_BYTES = 2**26


def encoder_jacobian(encoder, X, device):
    """Differentiate an encoder with respect to its input, row by row.

    Parameters
    ----------
    encoder : torch.nn.Module
        In evaluation mode, on the device.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows at which it is differentiated.
    device : torch.device
        Where the encoder is.

    Returns
    -------
    jacobian : ndarray of shape (n_samples, n_components, n_features), float32
        Units of the embedding per unit of each feature.
    """
    n_rows = max(1, CHUNK_BYTES // (8 * X.shape[1]))
    parts = [_jacobian(encoder, X[start : start + n_rows], device) for start in range(0, X.shape[0], n_rows)]
    return np.concatenate(parts)


def _jacobian(encoder, X, device):
    with limited_threads(allotted_threads()), torch.inference_mode(False), torch.enable_grad():
        x = to_tensor(X, device)
        x = (x if hasattr(encoder, "standardize") else x.float()).requires_grad_()  # a user's module takes float32
        z = encoder(x.clone())  # which a layer may change in place
        # In evaluation mode a row's coordinates depend on that row alone: their sum has all their derivatives.
        rows = [torch.autograd.grad(coordinate.sum(), x, retain_graph=True)[0] for coordinate in z.T]
    return torch.stack(rows, dim=1).float().cpu().numpy()


def summarized(jacobian, X, feature_names):
    """Add to a Jacobian how much each feature moves the points altogether.

    Parameters
    ----------
    jacobian : ndarray of shape (n_samples, n_components, n_features), float32
        What `encoder_jacobian` returned.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float
        The rows.
    feature_names : ndarray of shape (n_features,), object
        Their features' names.

    Returns
    -------
    attributions : Bunch
        With `jacobian`, `feature_names`, and `importances` of shape (n_features,), float64: how far a point is moved,
        on average, by a change of the feature by its standard deviation over the rows.
    """
    if isinstance(X, torch.Tensor):
        deviation = as_numpy(X.double().std(dim=0, correction=0))
    elif hasattr(X, "multiply"):
        mean = np.asarray(X.mean(axis=0)).ravel()
        deviation = np.sqrt(np.maximum(np.asarray(X.multiply(X).mean(axis=0)).ravel() - mean**2, 0))
    else:
        deviation = X.std(axis=0, dtype=np.float64)
    importances = np.linalg.norm(jacobian, axis=1).mean(axis=0, dtype=np.float64) * deviation
    return Bunch(jacobian=jacobian, importances=importances, feature_names=feature_names)
