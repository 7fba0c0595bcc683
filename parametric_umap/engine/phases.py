"""The phases of training. A phase says which rows make a batch, and which loss their coordinates have.

Every phase has `name`, `n_epochs`, `batches_per_epoch` and `learning_rate`; `may_diverge_by`, the parameters to blame
where it does; a `loss`, whose ``value_and_gradient(z, targets)`` compares the coordinates of a batch with its targets;
and two verbs: ``draw_epoch(generator)`` gives the batches of an epoch, ``network_of(network)`` what is trained. Its
`terms` are what else is asked for: each a `Term`.
"""

from typing import NamedTuple

import torch

from ..losses import PositionLoss

# Of a batch, where the graph has fewer.
FEWEST_GROUPS = 128


class Batch(NamedTuple):
    """A batch, or the batches of an epoch along the first axis.

    Attributes
    ----------
    rows : Tensor of shape (n_rows,), int64
        Which rows; group by group, where they are drawn in groups.
    targets : Tensor of shape (n_rows, n_components) or (n_groups, group_size, group_size), float32
        What the loss compares their coordinates with: positions, or the weights of the edges within each group.
    """

    rows: torch.Tensor
    targets: torch.Tensor


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
    grouped : Tensor of shape (n_rows, n_components), float32
        The same for every row of the batch.
    elapsed : Tensor of shape (), float32
        How much of the phase is over, from 0 to 1.
    rows, targets : Tensor
        The `Batch`.
    """

    encoded: torch.Tensor
    x: torch.Tensor
    z: torch.Tensor
    grouped: torch.Tensor
    elapsed: torch.Tensor
    rows: torch.Tensor
    targets: torch.Tensor


class Term(torch.nn.Module):
    """Something else that a phase asks of the coordinates, beside its loss.

    Called with an `EncodedBatch` it gives a loss, a tensor of shape (), which autograd differentiates. Parameters of
    its own, as those of a decoder, are trained with the network's.
    """

    def after_epoch(self, n_batches: int) -> dict[str, float]:
        """Say what is to be written down of an epoch.

        Parameters
        ----------
        n_batches : int
            Number of batches that it had.

        Returns
        -------
        losses : dict of {str: float}
            By the names under which `loss_curve_` has them.
        """
        return {}


class SpectralInit:
    """The encoder learns given positions, by batches of rows.

    Parameters
    ----------
    positions : Tensor of shape (n_samples, n_components + n_guides), float32
        Where the rows should be, on the device; after their coordinates on the map those of the guides.
    n_epochs, batch_size : int
        Number of passes over the rows, and of rows in a batch.
    learning_rate : float
        Of the first step.
    guides : torch.nn.Linear or None, default=None
        Makes the further coordinates of what the network's hidden layers give, while this phase lasts.
    terms : sequence of Term, default=()
        What else is asked for.
    """

    name = "spectral_init"
    may_diverge_by = "init_learning_rate or init_scale"

    def __init__(self, positions, *, n_epochs, batch_size, learning_rate, guides=None, terms=()):
        self.positions = positions
        self.guides = guides
        self.loss = PositionLoss()
        self.terms = terms
        self.n_epochs = n_epochs
        self.batch_size = min(batch_size, len(positions))
        self.batches_per_epoch = -(-len(positions) // self.batch_size)
        self.learning_rate = learning_rate

    def network_of(self, network):
        """The network, with outputs for the guides if there are any."""
        return network if self.guides is None else network.guided_by(self.guides)

    def draw_epoch(self, generator):
        """Every row once, in random order, with its position; the last batch is filled up from the first."""
        order = torch.randperm(len(self.positions), generator=generator, device=generator.device)
        missing = self.batches_per_epoch * self.batch_size - len(order)
        rows = torch.cat([order, order[:missing]]).to(self.positions.device)
        targets = self.positions.index_select(0, rows)
        return Batch(*(part.view(self.batches_per_epoch, self.batch_size, *part.shape[1:]) for part in (rows, targets)))


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
        about as many rows as the edges would have end points. There are no more than the graph has.
    learning_rate : float
        Of the first step.
    terms : sequence of Term, default=()
        What else is asked for.
    """

    name = "main_embedding"
    may_diverge_by = "learning_rate"

    def __init__(self, sampler, loss, *, n_epochs, batches_per_epoch, batch_size, learning_rate, terms=()):
        self.sampler = sampler
        self.loss = loss
        self.terms = terms
        self.n_epochs = n_epochs
        self.batches_per_epoch = batches_per_epoch
        # No more than the graph has, but as many as by default: few rows are drawn several times.
        most = 1 if sampler.n_groups == 1 else max(sampler.n_groups, FEWEST_GROUPS)
        self.n_groups = min(-(-2 * batch_size // sampler.group_size), most)
        self.learning_rate = learning_rate

    def network_of(self, network):
        """The network as it is."""
        return network

    def draw_epoch(self, generator):
        """The rows of every batch, group by group, and the weights of the edges within each group."""
        members, weights = self.sampler.draw(self.batches_per_epoch, self.n_groups, generator)
        return Batch(members.flatten(1), weights)
