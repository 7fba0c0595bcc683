"""The one loop that trains, and its step."""

import numpy as np
import torch

from .adam import Adam

# Numbers, and at most rows, of noise that a phase draws once; every step takes a window of them.
NOISE_SIZE = 2**26
NOISE_ROWS = 4096
# The number of rows that are encoded is a multiple of this.
ROUNDING = 64


def train(network, rows, phase, generator, *, input_noise=0.0, precision=torch.float32, on_epoch):
    """Train a network through one phase.

    The optimizer is Adam (Kingma, Ba 2015); its learning rate falls from the phase's to zero along half a cosine.

    Parameters
    ----------
    network : torch.nn.Module
        On the device; its parameters that require a gradient are trained in place.
    rows : Tensor or SparseRows
        What `as_rows` made of the data.
    phase : SpectralInit or MainEmbedding
        What is learned.
    generator : torch.Generator
        Source of the batches and of the noise.
    input_noise : float, default=0.0
        Standard deviation of the noise added to every feature of the rows.
    precision : {torch.float32, torch.bfloat16}, default=torch.float32
        What the network's matrix products are rounded to, where it does not say otherwise itself.
    on_epoch : callable
        Called as ``on_epoch(phase, epoch, loss)`` after every epoch, `epoch` counted from 1.

    Returns
    -------
    losses : ndarray of shape (n_epochs,), float64
        Mean loss of every epoch's batches.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    if isinstance(rows, torch.Tensor):
        rows = rows.to(precision)
    noise = Noise(input_noise, rows, generator) if input_noise else None
    adam = Adam((parameter for parameter in network.parameters() if parameter.requires_grad), _learning_rates(phase))
    losses = np.empty(phase.n_epochs)
    network.train()
    for epoch in range(phase.n_epochs):
        batches = zip(*phase.draw_epoch(generator), strict=True)
        total = sum(step(network, rows, phase, adam, batch, noise, precision) for batch in batches)
        losses[epoch] = float(total) / phase.batches_per_epoch
        if not np.isfinite(losses[epoch]):
            raise FloatingPointError(
                f"the loss of phase {phase.name!r} became {losses[epoch]} in epoch {epoch + 1}; "
                f"a learning rate below {phase.learning_rate} or better scaled data may help."
            )
        on_epoch(phase, epoch + 1, losses[epoch])
    network.eval()
    adam.release()
    return losses


def _learning_rates(phase):
    n_steps = phase.n_epochs * phase.batches_per_epoch
    return phase.learning_rate * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps)) / 2


class Noise:
    """Gaussian noise for batches of rows. Drawing it anew for each would cost as much as the network's first layer.

    Parameters
    ----------
    scale : float
        Its standard deviation.
    rows : Tensor or SparseRows
        The rows that it is for; it has their width, their precision and their device.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, scale, rows, generator):
        n_features = rows.shape[1]
        self.n_rows = min(NOISE_ROWS, max(64, NOISE_SIZE // n_features))
        pool = torch.empty((self.n_rows, n_features), dtype=torch.float32, device=generator.device)
        self.pool = pool.normal_(0, scale, generator=generator).to(rows.device, rows.dtype)
        self.generator = generator

    def window(self, n_rows):
        """Take noise for so many rows from a random place of the pool."""
        start = torch.randint(self.n_rows, (1,), generator=self.generator, device=self.generator.device)
        place = (start.to(self.pool.device) + torch.arange(n_rows, device=self.pool.device)) % self.n_rows
        return self.pool.index_select(0, place)


def step(network, rows, phase, adam, batch, noise, precision=torch.float32):
    """Take one step: encode a batch, find the forces on its coordinates, move the weights.

    Parameters
    ----------
    network, rows, phase
        As in `train`.
    adam : Adam
        Of the network's parameters.
    batch : tuple of Tensor
        What the phase's `draw_epoch` gave for this batch. The first are the indices of its rows, of shape (n_rows,),
        int64; a row that comes several times is encoded once.
    noise : Noise or None
        What is added to the rows.
    precision : {torch.float32, torch.bfloat16}, default=torch.float32
        As in `train`.

    Returns
    -------
    loss : Tensor of shape (), float32
        The batch's loss, before the step.
    """
    index, *others = (part.to(rows.device) for part in batch)
    index, place = _each_once(index)
    x = rows.index_select(0, index)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
        z = network(x if noise is None else x + noise.window(len(x)))
    loss, gradient = phase.loss_and_gradient(z.detach().index_select(0, place), index[place], *others)
    z.backward(torch.zeros_like(z).index_add_(0, place, gradient))
    adam.step()
    return loss


def _each_once(index):
    """The rows of a batch without repetition, and each one's place among them.

    The number of rows is rounded up, by taking some twice, since matrix products are prepared for every new shape.
    """
    unique, place = torch.unique(index, return_inverse=True)
    n_rows = -(-len(unique) // ROUNDING) * ROUNDING
    return unique[torch.arange(n_rows, device=unique.device) % len(unique)], place
