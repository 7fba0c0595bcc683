"""The passes of a step through the network: forward to coordinates, and backward from the forces on these.

Both classes have the same two verbs. ``forward(x)`` maps rows, a tensor of shape (n_rows, n_features), to coordinates,
(n_rows, n_components), float32; ``backward(gradient)`` takes the gradient with respect to these, and hands that of
every parameter to its ``grad``.
"""

import torch
from torch import nn

from ..encoder import Guided, Perceptron

aten = torch.ops.aten
# The gradient before an activation, of that behind it, what went into it and what came out.
BACKWARD = {
    nn.SiLU: lambda gradient, before, after: aten.silu_backward(gradient, before),
    nn.ReLU: lambda gradient, before, after: aten.threshold_backward(gradient, after, 0),
    nn.GELU: lambda gradient, before, after: aten.gelu_backward(gradient, before),
    nn.ELU: lambda gradient, before, after: aten.elu_backward(gradient, 1, 1, 1, False, before),
    nn.Tanh: lambda gradient, before, after: aten.tanh_backward(gradient, after),
}


def passes_through(network, precision):
    """Choose the passes through a network.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    precision : {torch.float32, torch.bfloat16}
        What its matrix products are rounded to.

    Returns
    -------
    passes : ByHand or ByAutograd
        By hand, if it is the default network, all of whose layers and nothing else are to be trained.
    """
    layers = [*network.hidden_layers, *network.heads] if isinstance(network, Perceptron | Guided) else []
    known = {id(parameter) for layer in layers for parameter in (layer.weight, layer.bias)}
    trained = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    return (ByHand if layers and known == trained else ByAutograd)(network, precision)


class ByAutograd:
    """Passes through any network.

    Parameters
    ----------
    network, precision
        As in `passes_through`.
    """

    def __init__(self, network, precision):
        self.network = network
        self.precision = precision

    def forward(self, x):
        """Map rows to coordinates."""
        in_bfloat16 = self.precision == torch.bfloat16
        # Without the cache of cast weights, which a captured step would take from the one before.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=in_bfloat16, cache_enabled=False):
            self.z = self.network(x)
        return self.z.detach()

    def backward(self, gradient):
        """Add the gradient of every parameter to its own."""
        ClosedForm.apply(self.z, gradient).backward()
        self.z = None


class ClosedForm(torch.autograd.Function):
    """A loss of coordinates whose gradient is known already; its value is not asked for.

    Handed to ``z.backward``, a gradient would have torch import its symbolic shapes, and with them a computer algebra:
    half a second in every process.
    """

    @staticmethod
    def forward(ctx, z, gradient):
        ctx.save_for_backward(gradient)
        return gradient.new_zeros(())

    @staticmethod
    def backward(ctx, factor):
        return ctx.saved_tensors[0], None


class ByHand:
    """Passes through a Perceptron, rounded as by autograd; with few rows they take half as long.

    Parameters
    ----------
    network : Perceptron or Guided
        It has `features`, what goes into the first of its `hidden_layers`; `activation`, the module that follows each
        of them; and `heads`, the layers that make coordinates of what the last one gives.
    precision : {torch.float32, torch.bfloat16}
        As in `passes_through`. Where `features` are of float32 the first layer is, too.
    """

    def __init__(self, network, precision):
        self.network = network
        self.precision = precision
        self.rounded = None

    @torch.no_grad()
    def forward(self, x):
        """Map rows to coordinates."""
        x = self.network.features(x)
        weights, biases = self._rounded(x.dtype)
        self.steps = []
        for weight, bias in zip(weights, biases, strict=True):
            x = x.to(weight.dtype)
            before = torch.addmm(bias, x, weight.T)
            after = self.network.activation(before)
            self.steps.append((weight, x, before, after))
            x = after
        self.last = x.float()
        self.head = _joined([head.weight for head in self.network.heads])
        return torch.addmm(_joined([head.bias for head in self.network.heads]), self.last, self.head.T)

    def _rounded(self, precision_of_first):
        """Weights and biases of the hidden layers as products take them: for all of them one operation."""
        layers = self.network.hidden_layers
        given = [layer.weight for layer in layers], [layer.bias for layer in layers]
        precisions = [precision_of_first if i == 0 else self.precision for i in range(len(layers))]
        if all(precision == torch.float32 for precision in precisions):
            return given
        if self.rounded is None:
            self.rounded = [
                [torch.empty_like(tensor, dtype=dtype) for tensor, dtype in zip(tensors, precisions, strict=True)]
                for tensors in given
            ]
        torch._foreach_copy_([*self.rounded[0], *self.rounded[1]], [*given[0], *given[1]])
        return self.rounded

    @torch.no_grad()
    def backward(self, gradient):
        """Write the gradient of every parameter."""
        heads, layers = self.network.heads, self.network.hidden_layers
        sizes = [len(head.weight) for head in heads]
        of_weights, of_biases = ([*part.split(sizes)] for part in (gradient.T @ self.last, gradient.sum(dim=0)))
        weight = self.head
        for next_weight, x, before, after in reversed(self.steps):
            behind = (gradient @ weight).to(before.dtype)
            gradient = BACKWARD[type(self.network.activation)](behind, before, after)
            of_weights.append(gradient.T @ x)
            of_biases.append(gradient.sum(dim=0))
            weight = next_weight
        layers = [*heads, *reversed(layers)]
        written = [*(layer.weight.grad for layer in layers), *(layer.bias.grad for layer in layers)]
        torch._foreach_copy_(written, [*of_weights, *of_biases])
        del self.steps, self.last, self.head


def _joined(parts):
    return parts[0] if len(parts) == 1 else torch.cat(parts)
