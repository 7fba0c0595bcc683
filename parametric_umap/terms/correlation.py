"""Global structure: distances on the map in proportion to those between the rows."""

import torch

from ..engine import Term

N_ROWS = 256


class GlobalCorrelation(Term):
    """The correlation between distances of rows and of their coordinates, over the pairs of a batch.

    As in Sainburg, McInnes, Gentner 2021, section 5.1.

    Parameters
    ----------
    weight : float
        Factor of the loss, which is the negative of the correlation.
    """

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, batch):
        """The loss of a batch."""
        step = max(1, len(batch.z) // N_ROWS)
        of_rows, of_points = (_distances(part[::step].float()) for part in (batch.x, batch.z))
        of_rows, of_points = of_rows - of_rows.mean(), of_points - of_points.mean()
        norm = (of_rows.square().sum() * of_points.square().sum()).clamp(min=torch.finfo(torch.float32).tiny).sqrt()
        return -self.weight * (of_rows * of_points).sum() / norm


def _distances(x):
    """The distances of all pairs; the small number keeps the derivative finite where two are equal."""
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    squares = torch.addmm(x.square().sum(dim=1), x, x.T, alpha=-2) + x.square().sum(dim=1, keepdim=True)
    return (squares[first, second].clamp(min=0) + 1e-6).sqrt()
