"""The optimizer."""

import numpy as np
import torch

# The squares are forgotten sooner than is usual (0.999): fits are short, and the second phase has other gradients.
BETAS = (0.9, 0.99)
EPSILON = 1e-8


class Adam:
    """Adam (Kingma, Ba 2015, algorithm 1), equal to ``torch.optim.Adam(betas=(0.9, 0.99))``.

    All parameters live in one tensor while they are trained, so that a step is a handful of operations however many
    there are, and needs no number from the host. Importing ``torch.optim`` would also take a second.

    Parameters
    ----------
    parameters : iterable of torch.nn.Parameter
        Of one device and precision. The backward pass of a step adds to their ``grad``.
    learning_rates : ndarray of shape (n_steps,), float64
        Of every step.
    """

    def __init__(self, parameters, learning_rates):
        self.parameters = list(parameters)
        self.values = torch.cat([parameter.detach().flatten() for parameter in self.parameters])
        self.gradient, self.mean, self.square = (torch.zeros_like(self.values) for _ in range(3))
        sizes = [parameter.numel() for parameter in self.parameters]
        parts = zip(self.parameters, self.values.split(sizes), self.gradient.split(sizes), strict=True)
        for parameter, value, gradient in parts:
            parameter.data = value.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)
        time = np.arange(1, len(learning_rates) + 1)
        correction, square_correction = (1 / (1 - beta**time) for beta in BETAS)
        corrections = np.stack([correction, square_correction], axis=1)
        self.corrections = torch.from_numpy(corrections.astype(np.float32)).to(self.values.device)
        self.learning_rates = torch.from_numpy(np.asarray(learning_rates, dtype=np.float32)).to(self.values.device)
        self.time = torch.zeros(1, dtype=torch.int64, device=self.values.device)

    def step(self):
        """Move the parameters by their gradients, and set these to zero."""
        self._move()
        self.gradient.zero_()
        self.time += 1

    def directions(self):
        """What a step computes by matrix products, which threads may round each in its way: nothing here."""
        return self.values.new_empty(0)

    def _move(self):
        self._move_by_adam(slice(None))

    def _move_by_adam(self, part):
        """Move a part of the parameters."""
        gradient, mean, square = self.gradient[part], self.mean[part], self.square[part]
        correction, square_correction = self.corrections.index_select(0, self.time)[0]
        rate = self.learning_rates.index_select(0, self.time) * correction
        beta, square_beta = BETAS
        mean.lerp_(gradient, 1 - beta)
        square.mul_(square_beta).addcmul_(gradient, gradient, value=1 - square_beta)
        root = (square * square_correction).sqrt_().add_(EPSILON)
        self.values[part].sub_(root.reciprocal_().mul_(mean).mul_(rate))

    def release(self):
        """Give every parameter a memory of its own again, and no gradient."""
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None
