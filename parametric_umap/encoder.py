"""The default network, and how a user's own is taken in."""

import copy
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from .containers import to_tensor
from .defaults import WIDE
from .moments import moments_of
from .principal_axes import principal_axes

# Wide rows are projected on at most so many principal axes.
MAX_AXES = 256
# Radians of the waves, sines and cosines of random directions (Tancik et al. 2020), per unit of the input: at most
# STEEPNESS from a row to its nearest neighbour, and at most STEEPEST.
STEEPNESS = 0.4
STEEPEST = 100.0

ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "elu": nn.ELU, "tanh": nn.Tanh}


class Standardize(nn.Module):
    """Subtract each feature's mean, turn wide rows to their principal axes, and divide by one number.

    The number is the standard deviation of all coordinates together, so that the network sees well-scaled input, and
    still the user's metric. The mean is kept as the sum of two float32 numbers, so that a float64 row with a large
    offset loses nothing on any device. Rows that are far from most, such as broken readings, count in none of them, and
    are drawn in, so that they do not take the network from the others.

    Parameters
    ----------
    mean : {ndarray, Tensor} of shape (n_features,), float64
        What is subtracted.
    scale : float
        What is divided by.
    axes : ndarray of shape (n_features, n_axes), float32, or None, default=None
        Orthonormal columns on which the centred rows are projected; None leaves them as they are.
    limit : float or None, default=None
        Rows with a number farther than this from its mean are drawn in, in their order, to a fifth farther at most.
    """

    def __init__(self, mean, scale, axes=None, limit=None):
        super().__init__()
        mean = torch.as_tensor(mean, dtype=torch.float64).cpu()
        self.register_buffer("mean", mean.float())
        self.register_buffer("mean_remainder", (mean - mean.float()).float())
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("axes", None if axes is None else torch.from_numpy(axes))
        bounds = torch.finfo(torch.float32)
        limit = None if limit is None or not bounds.tiny <= limit <= bounds.max else torch.tensor(limit)
        self.register_buffer("limit", limit)

    def __setstate__(self, state):
        super().__setstate__(state)
        self._buffers.setdefault("limit", None)  # of a pickle from before there was one

    @classmethod
    def of(cls, X, pca_variance=1.0):
        """Measure mean, axes and scale.

        Parameters
        ----------
        X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
            The rows to be fitted.
        pca_variance : float, default=1.0
            Share of the variance that is kept of rows of more than 128 features, by the leading principal axes, of
            which there are 256 at most; with 1 the rows are not projected.

        Returns
        -------
        standardize : Standardize
            Its scale is 1 where all rows are equal in float32.
        """
        mean, scale, extent, limit = moments_of(X)
        if extent == 0 or scale < np.finfo(np.float32).tiny:
            return cls(mean, 1.0)
        if pca_variance == 1 or X.shape[1] <= WIDE:
            return cls(mean, scale, limit=limit)
        axes = principal_axes(X, mean, pca_variance, MAX_AXES, limit)
        return cls(mean, scale * np.sqrt(X.shape[1] / axes.shape[1]), axes, limit)

    @property
    def width(self):
        """Number of coordinates of the rows that it gives."""
        return len(self.mean) if self.axes is None else self.axes.shape[1]

    def forward(self, x):
        """Standardize rows.

        Parameters
        ----------
        x : Tensor of shape (n_rows, n_features), float32 or float64
            Rows in the user's units.

        Returns
        -------
        x : Tensor of shape (n_rows, width), float32
            Rows in the network's.
        """
        x = self._centred(x)
        scale = self.scale.to(x.dtype)
        if self.limit is not None:
            scale = scale / self._shortening(x)
        x = (x / scale).float()
        return x if self.axes is None else x @ self.axes

    def drawn_in(self, x):
        """Rows of shape (n_rows, n_features), float32, in the user's units, far ones as near as `forward` sees them."""
        if self.limit is None:
            return x.float()
        centred = self._centred(x)
        factor = self._shortening(centred)
        return torch.where(factor < 1, centred * factor + self.mean.to(x.dtype), x).float()

    def _shortening(self, centred):
        """What a row is multiplied by, of shape (n_rows, 1): 1 but for far ones."""
        limit = self.limit.to(centred.dtype)
        share = limit / centred.abs().amax(dim=1, keepdim=True).clamp(min=limit)
        return share * (1.2 - 0.2 * share)

    def scaled(self, x):
        """Rows of shape (n_rows, n_features), float32, neither drawn in nor projected."""
        return self._centred(x).div_(self.scale.to(x.dtype)).float()

    def _centred(self, x):
        return (x - self.mean.to(x.dtype)).sub_(self.mean_remainder.to(x.dtype))


class Encoder(nn.Sequential):
    """The default encoder: `standardize`, then a fully connected `network`.

    Parameters
    ----------
    standardize : Standardize
        Takes rows in the user's units.
    n_components : int
        Width of the output.
    hidden_layer_sizes : int or array-like of int
        Widths of the hidden layers; empty for a linear map.
    activation : {"silu", "relu", "gelu", "elu", "tanh"}
        What follows every hidden layer.
    generator : torch.Generator
        Source of the initial weights, on the CPU.
    n_waves : int, default=0
        As in `Perceptron`.
    """

    standardize: Standardize
    network: "Perceptron"

    def __init__(self, standardize, n_components, hidden_layer_sizes, activation, generator, n_waves=0):
        network = Perceptron(standardize.width, n_components, hidden_layer_sizes, activation, generator, n_waves)
        super().__init__(OrderedDict(standardize=standardize, network=network))


class Perceptron(nn.Module):
    """A fully connected network: hidden layers, the `body`, and a linear `head` that stays in float32.

    Parameters
    ----------
    n_features, n_components : int
        Width of the input and of the output.
    hidden_layer_sizes, activation, generator
        As in `Encoder`.
    n_waves : int, default=0
        Number of directions whose sines and cosines go beside the input; `see_waves` draws them. The first layer then
        stays in float32, which tells the nearest neighbours apart.
    """

    def __init__(self, n_features, n_components, hidden_layer_sizes, activation, generator, n_waves=0):
        super().__init__()
        self.register_buffer("waves", torch.zeros(n_features, n_waves) if n_waves else None)
        widths = [n_features + 2 * n_waves, *np.ravel(hidden_layer_sizes).astype(int).tolist()]
        layers = []
        for n_in, n_out in pairwise(widths):
            layers += [_linear(n_in, n_out, generator), ACTIVATIONS[activation]()]
        self.body = nn.Sequential(*layers)
        self.head = _linear(widths[-1], n_components, generator)

    def __setstate__(self, state):
        super().__setstate__(state)
        self._buffers.setdefault("waves", None)  # of a pickle from before there were any

    def forward(self, x):
        """Map standardized rows, a tensor of shape (n_rows, n_features), to coordinates, float32."""
        hidden = self.hidden(x)
        with torch.autocast(x.device.type, enabled=False):  # coordinates near each other need the digits
            return self.head(hidden)

    def hidden(self, x):
        """What the last hidden layer gives, float32."""
        if self.waves is None:
            return self.body(x).float()
        first, *others = self.body
        with torch.autocast(x.device.type, enabled=False):
            x = first(self.features(x))
        for layer in others:
            x = layer(x)
        return x.float()

    def features(self, x):
        """What the first layer takes of standardized rows: they themselves, and their waves."""
        if self.waves is None:
            return x
        angles = x @ self.waves
        return torch.cat([x, angles.sin(), angles.cos()], dim=1)

    @property
    def hidden_layers(self):
        """The hidden layers, from the first on."""
        return list(self.body[::2])

    @property
    def hidden_matrices(self):
        """The weights of the hidden layers."""
        return [layer.weight for layer in self.hidden_layers]

    @property
    def activation(self):
        """What follows every hidden layer, or None where there is none."""
        return self.body[1] if len(self.body) else None

    @property
    def heads(self):
        """The layers that make coordinates of what the last hidden layer gives."""
        return [self.head]

    def see_waves(self, n_waves, gap, generator):
        """Let it see waves from now on: its first layer, if that is a hidden one, is made anew.

        Parameters
        ----------
        n_waves : int
            Number of their directions.
        gap : float
            How far a row lies from its nearest neighbour, in each feature. There are no waves where it is 0, as half of
            the rows have copies, nor where it is infinite.
        generator : torch.Generator
            Source of the waves and of the initial weights, on the CPU.
        """
        if not (n_waves and len(self.body) and 0 < gap < np.inf):
            return
        first = self.body[0]
        n_features, device = first.in_features, first.weight.device
        steepness = min(STEEPNESS / gap, STEEPEST) * n_features**-0.5
        waves = torch.randn(n_features, n_waves, generator=generator) * torch.rand(n_waves, generator=generator)
        self.waves = (waves * steepness).to(device)
        self.body[0] = _linear(n_features + 2 * n_waves, first.out_features, generator).to(device)

    @property
    def takes(self):
        """The precision in which rows must come, or None where any will do."""
        return None if self.waves is None else torch.float32

    def new_guides(self, n_guides, generator):
        """A layer that makes so many further coordinates of what the last hidden layer gives; on the CPU."""
        return _linear(self.head.in_features, n_guides, generator)

    def guided_by(self, guides):
        """This network with the further outputs of a layer that `new_guides` has made."""
        return Guided(self, guides)

    def architecture(self):
        """What it was built from, but for its weights."""
        names = {kind: name for name, kind in ACTIVATIONS.items()}
        waves = {} if self.waves is None else {"n_waves": self.waves.shape[1]}
        return waves | {
            "n_components": int(self.head.out_features),
            "hidden_layer_sizes": [int(layer.out_features) for layer in self.hidden_layers],
            "activation": names[type(self.activation)] if len(self.body) else next(iter(ACTIVATIONS)),
        }


class Guided(nn.Module):
    """A network with further outputs, whose hidden layers learn to tell apart what only these do.

    Parameters
    ----------
    network : Perceptron
        The network.
    guides : torch.nn.Linear
        Makes the further outputs of what its last hidden layer gives.
    """

    def __init__(self, network, guides):
        super().__init__()
        self.network = network
        self.guides = guides

    def forward(self, x):
        """Map standardized rows to their coordinates and to those of the guides, float32."""
        hidden = self.network.hidden(x)
        with torch.autocast(x.device.type, enabled=False):
            return torch.cat([head(hidden) for head in self.heads], dim=1)

    def features(self, x):
        """What the first layer takes of standardized rows."""
        return self.network.features(x)

    @property
    def hidden_layers(self):
        """The hidden layers of the network."""
        return self.network.hidden_layers

    @property
    def activation(self):
        """What follows each of them."""
        return self.network.activation

    @property
    def heads(self):
        """The layers that make coordinates of what the last hidden layer gives: the map's, and the guides'."""
        return [*self.network.heads, self.guides]


class _Linear(nn.Linear):
    """A linear layer that leaves its weights open, and so the global random state alone."""

    def reset_parameters(self):
        pass


def _linear(n_in, n_out, generator):
    """A linear layer with torch's own initial distribution, drawn from `generator` instead of the global state."""
    layer = _Linear(n_in, n_out, dtype=torch.float32)
    bound = n_in**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def new_encoder(encoder, X, n_components, *, hidden_layer_sizes, activation, pca_variance, generator):
    """Make the encoder of a fit.

    Parameters
    ----------
    encoder : {"mlp", "linear"}, torch.nn.Module, callable or None
        What the user asked for.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows to be fitted.
    n_components : int
        Width of its output.
    hidden_layer_sizes, activation, pca_variance
        What the parameters of that name say of "mlp".
    generator : torch.Generator
        Source of the initial weights, on the CPU.

    Returns
    -------
    encoder : torch.nn.Module
        On the CPU.
    """
    if not (encoder is None or isinstance(encoder, str)):
        return checked_encoder(encoder, X, n_components)
    if encoder == "linear":
        hidden_layer_sizes, pca_variance = (), 1.0
    return Encoder(Standardize.of(X, pca_variance), n_components, hidden_layer_sizes, activation, generator)


def as_module(given, n_inputs, n_outputs, name="encoder"):
    """Make of what a user gives for an encoder or a decoder a module of our own.

    Parameters
    ----------
    given : torch.nn.Module or callable
        A module, or a function of the widths of its input and its output that makes one, such as its class.
    n_inputs, n_outputs : int
        The widths.
    name : str, default="encoder"
        What errors call it.

    Returns
    -------
    module : torch.nn.Module
        A copy of the module, or what the function made; in float32, on the CPU, in evaluation mode.

    Raises
    ------
    ValueError
        If the function fails, or makes no module.
    """
    module = given
    if not isinstance(given, nn.Module):
        try:
            module = given(n_inputs, n_outputs)
        except Exception as error:
            raise ValueError(f"{name}({n_inputs}, {n_outputs}) raised {error!r}.") from error
        if not isinstance(module, nn.Module):
            raise ValueError(f"{name}({n_inputs}, {n_outputs}) must give a module; it gave {type(module)}.")
    return copy.deepcopy(module).to(device="cpu", dtype=torch.float32).eval()


def checked_encoder(encoder, X, n_components):
    """Take a user's encoder in, and make sure that it maps rows of X to coordinates.

    Parameters
    ----------
    encoder : torch.nn.Module or callable
        The user's module, which is not changed, or a function of the widths that makes one.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows to be fitted; the first two are tried.
    n_components : int
        Width that the output must have.

    Returns
    -------
    encoder : torch.nn.Module
        The module, on the CPU.

    Raises
    ------
    ValueError
        If there is no such module, it does not take the rows, gives another shape than (n_rows, n_components), or has
        nothing to learn.
    """
    encoder = as_module(encoder, X.shape[1], n_components)
    rows = to_tensor(X[:2], "cpu").float()
    try:
        with torch.no_grad():
            output = encoder(rows)
    except Exception as error:
        raise ValueError(f"encoder does not take rows of shape {tuple(rows.shape)}: {error}") from error
    expected = (len(rows), n_components)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        got = f"shape {tuple(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise ValueError(
            f"encoder must map {len(rows)} rows to a tensor of shape {expected} "
            f"(n_components={n_components}); it gave {got}."
        )
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise ValueError("encoder must have parameters that require a gradient; it has none.")
    return encoder


def parts(encoder: nn.Module) -> tuple[Callable[[torch.Tensor], torch.Tensor], nn.Module]:
    """Split an encoder into what prepares the rows, which is not trained and so done once, and what is trained.

    Parameters
    ----------
    encoder : torch.nn.Module
        The default encoder or a user's.

    Returns
    -------
    prepare : callable
        Maps rows in the user's units to rows for `network`, float32.
    network : torch.nn.Module
        What is trained. ``network(prepare(x))`` equals ``encoder(x)``.
    """
    if isinstance(encoder, Encoder):
        return encoder.standardize, encoder.network
    return torch.Tensor.float, encoder
