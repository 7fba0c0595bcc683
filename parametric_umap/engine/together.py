"""The second phase, which all processes train together: the steps of one process with as many rows in a batch."""

import torch

from ..losses import same_group
from .phases import MainEmbedding
from .training import Training


class SharedLoss:
    """The cross-entropy over the edges of all processes' batches; rows are repelled by columns of all.

    Parameters
    ----------
    loss : EdgeCrossEntropy
        Of one process.
    group : Group
        All processes.
    """

    def __init__(self, loss, group):
        self.loss = loss
        self.group = group
        self.n_columns = max(1, loss.n_columns // group.size)
        self.n_rows = None  # of a batch of each process, the same in every step

    def value_and_gradient(self, z, weights):
        """As that of `EdgeCrossEntropy`: the parts of the loss and of its gradient that are due to these rows."""
        step, size = max(1, len(z) // self.n_columns), weights.shape[1]
        mine = z[::step]
        if self.n_rows is None:
            self.n_rows = self.group.gather_alike(torch.tensor(len(z))).tolist()
        # The number of columns differs, since processes have batches of their own sizes.
        sent = z.new_zeros(2 * self.n_columns + 1, z.shape[1])
        sent[: len(mine)] = mine
        sent[-1, 0] = weights.sum()
        received = self.group.gather_alike(sent)
        counts = [self._n_columns(n) for n in self.n_rows]
        columns = torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])
        first = sum(counts[: self.group.rank])
        rows, own = same_group(z, step, size)
        attraction, pull = self.loss.attraction(z, weights, received[:, -1, 0].sum())
        n_pairs = max(1, (sum(self.n_rows) - size) * len(columns))
        repulsion, push, of_columns = self.loss.repulsion(z, columns, (rows, first + own), n_pairs)
        push[::step] += self.group.sum(of_columns)[first : first + len(mine)]
        return attraction + repulsion, pull.add_(push)

    def _n_columns(self, n_rows):
        return -(-n_rows // max(1, n_rows // self.n_columns))


class TrainingTogether(Training):
    """Training whose steps take the gradients of all processes.

    Parameters
    ----------
    group : Group
        All processes.
    *arguments, **how
        As `Training` takes them.
    """

    def __init__(self, group, *arguments, **how):
        super().__init__(*arguments, **how)
        self.group = group

    def add_gradient(self, x, encoded, position_in_batch, batch):
        """Find the gradient of all processes' batches, and the loss of them."""
        loss = super().add_gradient(x, encoded, position_in_batch, batch)
        both = torch.cat([loss.view(1), self.optimizer.gradient])
        self.group.sum(both)
        self.optimizer.gradient.copy_(both[1:])
        return both[0]


def main_embedding_together(group, sampler, n_rows, loss, *, batch_size, **how):
    """Make the phase of this process.

    Parameters
    ----------
    group : Group
        All processes.
    sampler : NeighborhoodSampler
        Draws from the rows of this one.
    n_rows : int
        Number of rows of all processes.
    loss : EdgeCrossEntropy
        Of one process.
    batch_size : int
        Number of edges in the batch of all processes.
    **how
        As `MainEmbedding` takes it.

    Returns
    -------
    phase : MainEmbedding
        Its batches have a share of the groups, as large as this process's of the rows.
    """
    phase = MainEmbedding(sampler, SharedLoss(loss, group), batch_size=batch_size, **how)
    n_groups = min(-(-2 * batch_size // sampler.group_size), max(n_rows, 128))
    phase.n_groups = max(1, round(n_groups * sampler.n_groups / n_rows))
    return phase
