"""The one loop that trains, and its step."""

import math

import numpy as np
import torch


def train(network, rows, phase, generator, on_epoch):
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
        Source of the batches.
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
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=phase.learning_rate, fused=True)
    n_steps = phase.n_epochs * phase.batches_per_epoch
    losses = np.empty(phase.n_epochs)
    network.train()
    for epoch in range(phase.n_epochs):
        total = 0
        for batch, index in enumerate(phase.draw_epoch(generator)):
            progress = (epoch * phase.batches_per_epoch + batch) / n_steps
            optimizer.param_groups[0]["lr"] = phase.learning_rate * (1 + math.cos(math.pi * progress)) / 2
            total += step(network, rows, phase, optimizer, index)
        losses[epoch] = total / phase.batches_per_epoch
        if not np.isfinite(losses[epoch]):
            raise FloatingPointError(
                f"the loss of phase {phase.name!r} became {losses[epoch]} in epoch {epoch + 1}; "
                f"a learning rate below {phase.learning_rate} or better scaled data may help."
            )
        on_epoch(phase, epoch + 1, losses[epoch])
    network.eval()
    return losses


def step(network, rows, phase, optimizer, index):
    """Take one step: encode a batch, find the forces on its coordinates, move the weights.

    Parameters
    ----------
    network, rows, phase
        As in `train`.
    optimizer : torch.optim.Optimizer
        Of the network's parameters.
    index : Tensor of shape (n_rows,), int64
        The rows of the batch; where they outnumber the data, each row of the data is encoded once.

    Returns
    -------
    loss : Tensor of shape (), float32
        The batch's loss, before the step.
    """
    index = index.to(getattr(rows, "device", index.device))
    z = network(rows[index]) if len(index) < len(rows) else network(rows[:])[index]
    loss, gradient = phase.loss_and_gradient(z.detach(), index)
    optimizer.zero_grad()
    z.backward(gradient)
    optimizer.step()
    return loss
