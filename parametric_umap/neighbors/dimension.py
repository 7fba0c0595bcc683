"""How many dimensions rows have among their neighbours."""

import torch

from .found import Neighbors


def intrinsic_dimension(neighbors: Neighbors) -> float:
    """Estimate the intrinsic dimension of rows by the distances of their neighbours.

    The estimator is that of Levina and Bickel (2004), averaged over the rows by its inverse, as MacKay and Ghahramani
    (2005) have it.

    Parameters
    ----------
    neighbors : Neighbors
        Of every row, by any metric.

    Returns
    -------
    dimension : float
        NaN where no row has two neighbours at a distance; infinity where the neighbours of each are equally far.
    """
    distances = neighbors.distances[:, 1:]
    farthest = distances[:, -1:]
    ratios = torch.where((distances > 0) & farthest.isfinite(), (farthest / distances).log(), torch.nan)
    return (1 / ratios[:, :-1].nanmean()).item()
