"""The way back from the map to the rows: the default network, and how a module of the user's is taken in."""

import numpy as np
import torch
from torch import nn

from .containers import device_of, to_tensor
from .encoder import Encoder, Perceptron, as_module
from .threads import allotted_threads, limited_threads


class Restore(nn.Module):
    """Undo `Standardize`: from the network's units to the user's.

    Parameters
    ----------
    standardize : Standardize
        What is undone; what its axes left out stays at the mean.
    """

    def __init__(self, standardize):
        super().__init__()
        self.register_buffer("mean", standardize.mean.clone())
        self.register_buffer("scale", standardize.scale.clone())
        self.register_buffer("axes", None if standardize.axes is None else standardize.axes.clone())

    def forward(self, x):
        """Map a tensor of shape (n_rows, width) to one of shape (n_rows, n_features)."""
        x = x if self.axes is None else x @ self.axes.T
        return x * self.scale + self.mean


class Decoder(nn.Sequential):
    """The default decoder: a fully connected `network`, and what makes rows in the user's units of its output.

    Parameters
    ----------
    network : Perceptron
        Takes coordinates.
    output : Restore or torch.nn.Sigmoid
        Takes what the network gives.
    """

    def __init__(self, network, output):
        super().__init__()
        self.network = network
        self.output = output


def has_decoder(decoder):
    """Whether the parameter `decoder` asks for one.

    Parameters
    ----------
    decoder : bool, torch.nn.Module, callable or None
        The parameter.

    Returns
    -------
    asked : bool
        False for False and None.
    """
    return bool(decoder) if isinstance(decoder, (bool, np.bool_)) else decoder is not None


def mirror_of(encoder, reconstruction_loss, generator):
    """Make a decoder with the layers of an encoder in reverse.

    Parameters
    ----------
    encoder : Encoder
        The default encoder.
    reconstruction_loss : {"mse", "bce"} or callable
        With "bce" the decoder gives numbers from 0 to 1.
    generator : torch.Generator
        Source of the initial weights, on the CPU.

    Returns
    -------
    decoder : Decoder
        On the CPU.
    """
    standardize = encoder.standardize
    architecture = encoder.network.architecture()
    bounded = reconstruction_loss == "bce"
    network = Perceptron(
        architecture["n_components"],
        len(standardize.mean) if bounded else standardize.width,
        architecture["hidden_layer_sizes"][::-1],
        architecture["activation"],
        generator,
    )
    return Decoder(network, nn.Sigmoid() if bounded else Restore(standardize))


def new_decoder(decoder, encoder, X, n_components, reconstruction_loss, generator):
    """Make the decoder of a fit.

    Parameters
    ----------
    decoder : True, torch.nn.Module or callable
        What the user asked for: the mirror of the encoder, a module, or a function of n_components and n_features that
        makes one.
    encoder : torch.nn.Module
        Of the fit.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    n_components : int
        Width of its input.
    reconstruction_loss : {"mse", "bce"} or callable
        What it is trained by.
    generator : torch.Generator
        Source of the initial weights of the mirror.

    Returns
    -------
    decoder : torch.nn.Module
        On the CPU.

    Raises
    ------
    ValueError
        If a module of the user's does not map coordinates to rows, or there is no default encoder to mirror.
    """
    if isinstance(decoder, (bool, np.bool_)):
        if not isinstance(encoder, Encoder):
            raise ValueError("decoder=True mirrors the default encoder; with one of your own give a module.")
        return mirror_of(encoder, reconstruction_loss, generator)
    decoder = as_module(decoder, n_components, X.shape[1], name="decoder")
    expected = (2, X.shape[1])
    try:
        with torch.no_grad():
            output = decoder(torch.zeros(2, n_components))
    except Exception as error:
        raise ValueError(f"decoder does not take coordinates of shape {(2, n_components)}: {error}") from error
    if tuple(output.shape) != expected:
        raise ValueError(f"decoder must map 2 rows to a tensor of shape {expected}; it gave {tuple(output.shape)}.")
    return decoder


def decode(decoder, Z, device, n_rows=8192):
    """Map coordinates back to rows, in batches that bound the memory.

    Parameters
    ----------
    decoder : torch.nn.Module
        In evaluation mode, on the device.
    Z : {ndarray, Tensor} of shape (n_samples, n_components), float32
        Coordinates.
    device : torch.device
        Where the decoder is.

    Returns
    -------
    X : Tensor of shape (n_samples, n_features), float32, where Z is
        Rows in the user's units.
    """
    with limited_threads(allotted_threads()), torch.inference_mode():
        parts = [
            decoder(to_tensor(Z[i : i + n_rows], device).float()).to(device_of(Z)) for i in range(0, len(Z), n_rows)
        ]
    return torch.cat(parts)
