"""The phases of training. A phase says which rows make a batch, and which loss their coordinates have.

Every phase has `name`, `n_epochs`, `batches_per_epoch` and `learning_rate`, and two verbs: ``draw_epoch(generator)``
gives tensors that hold an epoch's batches along their first axis, of which the first tensor is the row indices, and
``loss_and_gradient(z, *batch)`` the loss of a batch's coordinates and its gradient. Its `terms` are what else is asked
for: modules that map an `EncodedBatch` to a loss, which autograd differentiates, and whose parameters are trained too.
"""

from typing import NamedTuple

import torch

from ..losses import PositionLoss


class EncodedBatch(NamedTuple):
    """A batch as a term sees it.

    Attributes
    ----------
    encoded : Tensor of shape (n_encoded,), int64
        The rows that were encoded, each once but for a few.
    x : Tensor of shape (n_encoded, n_features)
        What the network takes for them, without noise.
    z : Tensor of shape (n_encoded, n_components), float32
        Their coordinates, through which gradients reach the network.
    grouped : Tensor of shape (n_groups * group_size, n_components), float32
        The same, group by group.
    elapsed : Tensor of shape (), float32
        How much of the phase is over, from 0 to 1.
    members : Tensor of shape (n_groups * group_size,), int64
        The rows, group by group.
    weights : Tensor of shape (n_groups, group_size, group_size), float32
        The weights of the edges within each group.
    """

    encoded: torch.Tensor
    x: torch.Tensor
    z: torch.Tensor
    grouped: torch.Tensor
    elapsed: torch.Tensor
    members: torch.Tensor
    weights: torch.Tensor


class SpectralInit:
    """The encoder learns given positions, by batches of rows.

    Parameters
    ----------
    positions : Tensor of shape (n_samples, n_components), float32
        Where the rows should be, on the device.
    n_epochs, batch_size : int
        Number of passes over the rows, and of rows in a batch.
    learning_rate : float
        Of the first step.
    """

    name = "spectral_init"
    terms = ()

    def __init__(self, positions, *, n_epochs, batch_size, learning_rate):
        self.positions = positions
        self.n_epochs = n_epochs
        self.batch_size = min(batch_size, len(positions))
        self.batches_per_epoch = -(-len(positions) // self.batch_size)
        self.learning_rate = learning_rate
        self.loss = PositionLoss()

    def draw_epoch(self, generator):
        """Every row once, in random order; the last batch is filled up from the first."""
        order = torch.randperm(len(self.positions), generator=generator, device=generator.device)
        missing = self.batches_per_epoch * self.batch_size - len(order)
        return (torch.cat([order, order[:missing]]).view(self.batches_per_epoch, self.batch_size),)

    def loss_and_gradient(self, z, index):
        """Compare the coordinates of a batch with its positions."""
        return self.loss.value_and_gradient(z, self.positions[index])


class MainEmbedding:
    """The encoder learns the graph, by batches of edges or of neighbourhoods.

    Parameters
    ----------
    sampler : EdgeSampler or NeighborhoodSampler
        Draws groups of rows.
    loss : EdgeCrossEntropy
        Of a batch of groups.
    n_epochs, batches_per_epoch, batch_size : int
        Number of epochs, of batches in an epoch, and of edges in a batch; neighbourhoods are so many that they have
        about as many rows as the edges would have end points.
    learning_rate : float
        Of the first step.
    terms : sequence of torch.nn.Module, default=()
        What else is asked for.
    """

    name = "main_embedding"

    def __init__(self, sampler, loss, *, n_epochs, batches_per_epoch, batch_size, learning_rate, terms=()):
        self.sampler = sampler
        self.loss = loss
        self.terms = terms
        self.n_epochs = n_epochs
        self.batches_per_epoch = batches_per_epoch
        self.n_groups = -(-2 * batch_size // sampler.group_size)
        self.learning_rate = learning_rate

    def draw_epoch(self, generator):
        """The rows of every batch, group by group, and the weights of the edges within each group."""
        members, weights = self.sampler.draw(self.batches_per_epoch, self.n_groups, generator)
        return members.flatten(1), weights

    def loss_and_gradient(self, z, index, weights):
        """Attract the ends of the edges, repel all from all."""
        return self.loss.value_and_gradient(z, weights)
