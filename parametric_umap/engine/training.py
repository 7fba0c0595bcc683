"""The one loop that trains, and its step."""

from contextlib import closing
from functools import partial

import numpy as np
import torch

from .adam import Adam
from .captured import CapturedEpoch
from .phases import EncodedBatch

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
    rows : Tensor or HostRows
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
        Called as ``on_epoch(phase, epoch, loss)`` after every epoch, `epoch` counted from 1. If it returns True, the
        phase ends there.

    Returns
    -------
    losses : ndarray of shape (n_epochs,), float64
        Mean loss of every epoch's batches, of those that were run.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    if isinstance(rows, torch.Tensor):
        rows = rows.to(precision)
    noise = Noise(input_noise, rows, generator)
    trained = torch.nn.ModuleList([network, *phase.terms])
    adam = Adam((parameter for parameter in trained.parameters() if parameter.requires_grad), _learning_rates(phase))
    one_step = partial(step, network, phase, adam, noise, precision)
    losses = np.empty(phase.n_epochs)
    training_mode(trained)
    n_steps = phase.n_epochs * phase.batches_per_epoch
    run_epoch = _epoch_runner(one_step, rows, n_steps)
    elapsed = torch.linspace(0, 1, n_steps, device=rows.device).view(phase.n_epochs, -1)
    for epoch in range(phase.n_epochs):
        batches = (elapsed[epoch], noise.draw(phase.batches_per_epoch), *phase.draw_epoch(generator))
        losses[epoch] = run_epoch([part.to(rows.device) for part in batches]) / phase.batches_per_epoch
        if not np.isfinite(losses[epoch]):
            raise FloatingPointError(
                f"the loss of phase {phase.name!r} became {losses[epoch]} in epoch {epoch + 1}; "
                f"a learning rate below {phase.learning_rate} or better scaled data may help."
            )
        if on_epoch(phase, epoch + 1, losses[epoch]):
            break
    trained.eval()
    adam.release()
    return losses[: epoch + 1]


def training_mode(module):
    """Put a module into training mode, but for its frozen parts: the statistics of a pretrained layer stay, too.

    Parameters
    ----------
    module : torch.nn.Module
        Its parts whose parameters all require no gradient, of which there are some, are put into evaluation mode.
    """
    module.train()
    for part in module.modules():
        parameters = list(part.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            part.eval()


def _learning_rates(phase):
    n_steps = phase.n_epochs * phase.batches_per_epoch
    return phase.learning_rate * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps)) / 2


def _epoch_runner(one_step, rows, n_steps):
    """What runs the batches of an epoch, and returns the sum of their losses."""

    def from_tensor(batch):
        encoded, place = _each_once(batch[2])
        return one_step(rows.index_select(0, encoded), encoded, place, batch)

    def on_a_processor(batches):
        return float(sum(from_tensor(batch) for batch in zip(*batches, strict=True)))

    def from_the_host(batches):
        encoded, places = zip(*(_each_once(index) for index in batches[2].cpu()), strict=True)
        batches = zip(*batches, strict=True)
        with closing(rows.batches(encoded)) as coming:  # its thread ends with the epoch, an interrupted one too
            taken = zip(coming, encoded, places, batches, strict=True)
            return float(
                sum(
                    one_step(x, index.to(rows.device), place.to(rows.device), batch) for x, index, place, batch in taken
                )
            )

    if not isinstance(rows, torch.Tensor):
        return from_the_host
    return on_a_processor if rows.device.type == "cpu" else CapturedEpoch(from_tensor, n_steps)


class Noise:
    """Gaussian noise for batches of rows. Drawing it anew for each would cost as much as the network's first layer.

    Parameters
    ----------
    scale : float
        Its standard deviation; with 0 there is none.
    rows : Tensor or HostRows
        The rows that it is for; it has their width, their precision and their device.
    generator : torch.Generator
        Source of randomness.
    """

    def __init__(self, scale, rows, generator):
        n_features = rows.shape[1]
        self.generator = generator
        self.n_rows = min(NOISE_ROWS, max(64, NOISE_SIZE // n_features))
        self.pool = None
        if scale:
            pool = torch.empty((self.n_rows, n_features), dtype=torch.float32, device=generator.device)
            self.pool = pool.normal_(0, scale, generator=generator).to(rows.device, rows.dtype)

    def draw(self, n_batches):
        """Draw the places of the pool where the noise of so many batches begins."""
        return torch.randint(self.n_rows, (n_batches,), generator=self.generator, device=self.generator.device)

    def added_to(self, x, start):
        """The rows x with the noise that begins at `start`."""
        if self.pool is None:
            return x
        return x + self.pool.index_select(0, (start + torch.arange(len(x), device=x.device)) % self.n_rows)


def step(network, phase, adam, noise, precision, x, encoded, place, batch):
    """Take one step: encode a batch, find the forces on its coordinates, move the weights.

    Parameters
    ----------
    network, phase, precision
        As in `train`.
    adam : Adam
        Of the parameters of the network and of the phase's terms.
    noise : Noise
        What is added to the rows.
    x : Tensor of shape (n_encoded, n_features)
        The rows to be encoded.
    encoded : Tensor of shape (n_encoded,), int64
        Their indices.
    place : Tensor of shape (n_rows,), int64
        Which of them each row of the batch is.
    batch : tuple of Tensor
        How much of the phase is over, from 0 to 1, where the noise begins, and what the phase's `draw_epoch` gave for
        the batch.

    Returns
    -------
    loss : Tensor of shape (), float32
        The batch's loss, before the step.
    """
    elapsed, start, *batch = batch
    # Without its cache of cast weights, which a captured step would take from the one before.
    in_bfloat16 = precision == torch.bfloat16
    with torch.autocast(x.device.type, torch.bfloat16, enabled=in_bfloat16, cache_enabled=False):
        z = network(noise.added_to(x, start))
    loss, gradient = phase.loss_and_gradient(z.detach().index_select(0, place), *batch)
    loss = ClosedForm.apply(z, loss, torch.zeros_like(z).index_add_(0, place, gradient))
    if phase.terms:
        encoded = EncodedBatch(encoded, x, z, z.index_select(0, place), elapsed, *batch)
        loss = loss + sum(term(encoded) for term in phase.terms)
    loss.backward()
    adam.step()
    return loss.detach()


class ClosedForm(torch.autograd.Function):
    """A loss of coordinates whose gradient is known already.

    Handed to ``z.backward``, a gradient would have torch import its symbolic shapes, and with them a computer algebra:
    half a second in every process.
    """

    @staticmethod
    def forward(ctx, z, loss, gradient):
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx, factor):
        return factor * ctx.saved_tensors[0], None, None


def _each_once(index):
    """The rows of a batch without repetition, and each one's place among them; on a GPU, all as they come.

    The number of rows is rounded up, by taking some twice, since matrix products are prepared for every new shape. A
    GPU would have to wait for it to be known.
    """
    if index.device.type != "cpu":  # only on a GPU
        return index, torch.arange(len(index), device=index.device)
    unique, place = torch.unique(index, return_inverse=True)
    n_rows = -(-len(unique) // ROUNDING) * ROUNDING
    return unique[torch.arange(n_rows) % len(unique)], place
