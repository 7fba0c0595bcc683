"""The optimizer of the default network."""

import torch

from .adam import Adam

MOMENTUM = 0.9
# What a matrix moves at most, in its spectral norm, per learning rate of the other parameters.
STRIDE = 5.0
# x -> a x + b x³ + c x⁵ of the singular values, one after the other: the last three of a sequence that brings all of
# them near 1. Without the first two small ones stay smaller, and a step takes half the time.
POLYNOMIALS = ((3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012))


class Muon(Adam):
    """Adam, but for matrices of hidden layers: these move along their orthogonalized momentum (Jordan et al. 2024).

    Parameters
    ----------
    parameters, learning_rates
        As in `Adam`.
    matrices : sequence of torch.nn.Parameter
        Those of the parameters that are matrices of hidden layers.
    precision : {torch.float32, torch.bfloat16}, default=torch.float32
        What their products are rounded to.

    References
    ----------
    Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks. The polynomials are those of You
    Jiacheng, in KellerJordan/modded-nanogpt.
    """

    def __init__(self, parameters, learning_rates, matrices, precision=torch.float32):
        by_shape = {}
        for matrix in matrices:
            by_shape.setdefault(matrix.shape, []).append(matrix)
        alike, chosen = list(by_shape.values()), {id(matrix) for matrix in matrices}
        first = [matrix for stack in alike for matrix in stack]
        super().__init__([*first, *(p for p in parameters if id(p) not in chosen)], learning_rates)
        self.n_orthogonalized = sum(matrix.numel() for matrix in first)
        self.precision = precision
        self.shapes = [(len(stack), *shape) for shape, stack in by_shape.items()]

    def directions(self):
        """Where the matrices go, given the gradient: a tensor of their sizes, one after the other."""
        part = slice(self.n_orthogonalized)
        gradient = self.gradient[part]
        ahead = gradient.lerp(self.mean[part].lerp(gradient, 1 - MOMENTUM), MOMENTUM)
        found = []
        sizes = [n * rows * columns for n, rows, columns in self.shapes]
        for stack, shape in zip(ahead.split(sizes), self.shapes, strict=True):
            longer = max(1.0, shape[1] / shape[2]) ** 0.5
            found.append(orthogonalized(stack.view(shape), self.precision).flatten() * longer)
        return torch.cat(found)

    def _move(self):
        part = slice(self.n_orthogonalized)
        rate = self.learning_rates.index_select(0, self.time)
        self.values[part].sub_(self.directions() * (STRIDE * rate))
        self.mean[part].lerp_(self.gradient[part], 1 - MOMENTUM)
        self._move_by_adam(slice(self.n_orthogonalized, None))


def orthogonalized(matrices, precision=torch.float32):
    """Bring the singular values of matrices near 1, but for small ones.

    Parameters
    ----------
    matrices : Tensor of shape (n_matrices, n_rows, n_columns), float32
        Any.
    precision : {torch.float32, torch.bfloat16}, default=torch.float32
        What products are rounded to.

    Returns
    -------
    orthogonalized : Tensor of shape (n_matrices, n_rows, n_columns), float32
        Of the same singular vectors. A matrix of zeros stays.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = (x / (1.01 * x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(precision)
    for a, b, c in POLYNOMIALS:
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)
