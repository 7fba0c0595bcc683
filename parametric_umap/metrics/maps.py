"""The distances on a map, flat or not."""

import torch

from ..neighbors import row_distances
from ..output_metrics import OUTPUT_METRICS


def map_distances(embedding, output_metric, device):
    """Prepare to measure the distances from some points to all.

    Parameters
    ----------
    embedding : ndarray of shape (n_samples, n_components), float
        The points.
    output_metric : {"euclidean", "haversine", "hyperboloid"}
        The distance on the map.
    device : torch.device
        Where it is computed.

    Returns
    -------
    distances_from : callable
        As of ``neighbors.row_distances``.

    Raises
    ------
    ValueError
        If points of a sphere have other than two coordinates.
    """
    if output_metric == "euclidean":
        return row_distances(embedding, device=device)
    if output_metric == "haversine" and embedding.shape[1] != 2:
        raise ValueError(f"output_metric='haversine' needs an embedding of 2 columns; got {embedding.shape[1]}.")
    squares = OUTPUT_METRICS[output_metric]
    points = torch.tensor(embedding, dtype=torch.float64, device=device)

    def distances_from(rows):
        distances = squares(points[rows.to(device), None], points[None]).sqrt_()
        distances[torch.arange(len(rows)), rows] = 0
        return distances

    return distances_from
