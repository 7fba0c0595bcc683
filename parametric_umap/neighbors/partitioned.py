"""Nearly all Euclidean neighbours of many dense rows: each cell of a partition is searched with the cells around it.

The rows are projected on their leading principal axes and put into the cells of k-means, as in an inverted file index
(Jégou, Douze & Schmid, 2011, "Product Quantization for Nearest Neighbor Search", IEEE TPAMI 33(1)), without the
quantization. One matrix product compares all rows of a cell with those of the cells nearest to it, and the best of
them are compared again by direct differences of the whole rows. How many axes are kept and how many cells are searched
follows from the recall on a sample of rows whose true neighbours are known.
"""

from math import isqrt
from typing import NamedTuple

import torch
from sklearn.utils import check_random_state

from .exact import BLOCK_BYTES, exact_euclidean, middle, nearest_of

RECALL = 0.98  # share of the sample's true neighbours that has to be found
SAMPLE = 300
VARIANCE = 0.95  # share of the variance on the axes that are tried first
CELL_ROWS = 64  # on average
LARGEST_CELL = 16 * CELL_ROWS
ROUNDS = 5  # of k-means
SELECTION = 100  # the cost of selecting from a product of rows, as a number of features


class Partition(NamedTuple):
    """The cells of all rows.

    Attributes
    ----------
    cell : Tensor of shape (n_samples,), int64
        The cell of each row; none is empty.
    centres : Tensor of shape (n_cells, n_axes), float64
        The centre of each cell.
    """

    cell: torch.Tensor
    centres: torch.Tensor


class Sample(NamedTuple):
    """Rows whose true neighbours are known.

    Attributes
    ----------
    rows : Tensor of shape (n_sampled,), int64
        Their indices.
    farthest : Tensor of shape (n_sampled, 1), float32
        Distance of the last true neighbour of each.
    """

    rows: torch.Tensor
    farthest: torch.Tensor


def partitioned_euclidean(X, n_neighbors, random_state):
    """Find nearly all Euclidean neighbours of dense rows among all rows.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32
        The rows, of a magnitude whose squares are finite.
    n_neighbors : int
        Number of neighbours, the row itself counted; at most `n_samples`.
    random_state : int, RandomState or None
        Seed of the sample and of the cells: the same seed gives the same neighbours.

    Returns
    -------
    indices : Tensor of shape (n_samples, n_neighbors), int64
        Neighbours by rising distance, the row itself first. At least `RECALL` of a sample's are the true ones; where
        so many cells were needed for it that an exact search costs less, all are.
    distances : Tensor of shape (n_samples, n_neighbors), float32
        Their distances, by direct differences, in the units of X.
    """
    rng = check_random_state(random_state)
    count = min(n_neighbors + max(8, n_neighbors // 2), len(X))
    rows = _draw(rng, X, SAMPLE)
    sample = Sample(rows, exact_euclidean(X, n_neighbors, rows, spare=64)[1][:, -1:])
    points = _projected(X, sample, n_neighbors, count, rng)
    partition = _partition(points, rng)
    n_probes = _enough_probes(X, points, partition, sample, n_neighbors, count)
    if n_probes is None:
        return exact_euclidean(X, n_neighbors)
    return _search_cells(X, points, partition, n_probes, n_neighbors, count)


def _draw(rng, X, count):
    return torch.from_numpy(rng.permutation(len(X))[:count]).to(X.device)


def _projected(X, sample, n_neighbors, count, rng):
    """The centred rows on as few principal axes as keep the sample's neighbours among its nearest; else all of them."""
    centre = middle(X)
    axes, variances = _principal_axes(X, centre, rng)
    share = variances.cumsum(dim=0) / variances.sum()
    n_axes = 1 + int((share < VARIANCE).sum())
    while n_axes <= min(X.shape[1] // 2, len(variances)):
        points = torch.cat([(rows - centre) @ axes[:, :n_axes] for rows in X.split(2**13)])
        _, hit = _found(X, points, sample, n_neighbors, count)
        if hit.float().mean() >= (1 + RECALL) / 2:
            return points
        n_axes *= 2
    return X - centre


def _principal_axes(X, centre, rng):
    """Principal axes of some rows, and the variances on them, both from the largest on."""
    rows = X[_draw(rng, X, 5000 if X.shape[1] <= 1000 else 1000)] - centre
    lengths = rows.norm(dim=1, keepdim=True)
    rows *= (lengths.median() / lengths.clamp(min=torch.finfo(X.dtype).tiny)).clamp(max=1)  # no far row turns an axis
    if rows.shape[1] <= len(rows):
        variances, axes = torch.linalg.eigh(rows.T @ rows)
    else:
        variances, axes = torch.linalg.eigh(rows @ rows.T)
        axes = torch.nn.functional.normalize(rows.T @ axes, dim=0)
    return axes.flip(1), variances.flip(0).clamp(min=0)


def _partition(points, rng):
    """The cells of k-means within those of a coarser k-means; large ones, as of duplicates, are cut into pieces."""
    n_coarse = isqrt(-(-len(points) // CELL_ROWS))
    coarse = _nearest_centre(points, _k_means(points[_draw(rng, points, 256 * n_coarse)], n_coarse, rng))
    cell, centres, n_cells = torch.empty_like(coarse), [], 0
    for rows in coarse.argsort(stable=True).split(torch.bincount(coarse, minlength=n_coarse).tolist()):
        members = points[rows]
        centres.append(_k_means(members, -(-len(rows) // CELL_ROWS), rng))
        cell[rows] = n_cells + _nearest_centre(members, centres[-1])
        n_cells += len(centres[-1])
    order = cell.argsort(stable=True)
    sizes = torch.bincount(cell, minlength=n_cells)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device) - (sizes.cumsum(dim=0) - sizes)[cell[order]]
    pieces, cell = (cell * len(points) + place // LARGEST_CELL).unique(return_inverse=True)
    return Partition(cell, torch.cat(centres)[pieces // len(points)])


def _k_means(points, n_cells, rng):
    """Centres that begin at rows drawn at random, and so lie densely where rows do."""
    centres = points[_draw(rng, points, n_cells)].double()
    for _ in range(ROUNDS):
        nearest = _nearest_centre(points, centres)
        sizes = torch.bincount(nearest, minlength=len(centres))[:, None]
        sums = torch.zeros_like(centres).index_add_(0, nearest, points.double())
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def _nearest_centre(points, centres):
    """In float64, as the rows of a tight cluster differ in the last digits of their expanded squares."""
    squares = centres.square().sum(dim=1)
    blocks = points.split(2**12)
    return torch.cat([torch.addmm(squares, rows.double(), centres.T, alpha=-2).argmin(dim=1) for rows in blocks])


def _nearest_cells(centres, cells, count):
    """The cells nearest to each of some, itself first."""
    gaps = torch.cdist(centres[cells], centres)
    gaps[torch.arange(len(cells), device=cells.device), cells] = -1
    return gaps.topk(min(count, len(centres)), dim=1, largest=False, sorted=True).indices


def _enough_probes(X, points, partition, sample, n_neighbors, count):
    """How many cells must be searched for each; None where all pairs of rows cost less."""
    cell, centres = partition
    ranks = _nearest_cells(centres, cell[sample.rows], len(centres)).argsort(dim=1)
    indices, hit = _found(X, points, sample, n_neighbors, count)
    of_hits = ranks.gather(1, cell[indices])[hit].sort().values
    n_probes = 1 + int(of_hits[min(len(of_hits), round(RECALL * hit.numel())) - 1])
    if n_probes * CELL_ROWS * (points.shape[1] + SELECTION) < len(X) * (X.shape[1] + SELECTION):
        return n_probes
    return None


def _found(X, points, sample, n_neighbors, count):
    """The neighbours of the sample among the `count` nearest points, and which of them are true ones."""
    squares = points.square().sum(dim=1)
    found = []
    for rows in sample.rows.split(max(1, BLOCK_BYTES // (4 * len(X)))):
        expanded = torch.addmm(squares, points[rows], points.T, alpha=-2)
        expanded[torch.arange(len(rows), device=rows.device), rows] = -torch.inf
        found.append(nearest_of(X, rows, expanded.topk(count, dim=1, largest=False).indices, n_neighbors))
    indices, distances = (torch.cat(parts) for parts in zip(*found, strict=True))
    return indices[:, 1:], distances[:, 1:] <= sample.farthest * (1 + 1e-6)


def _search_cells(X, points, partition, n_probes, n_neighbors, count):
    """The neighbours of the rows of every cell among those of the nearest cells that hold `count` rows at least."""
    order = partition.cell.argsort(stable=True)
    points = points[order]
    sizes = torch.bincount(partition.cell)
    ends = sizes.cumsum(dim=0).tolist()
    centres = partition.centres.float()
    spans = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    indices = torch.empty((len(X), n_neighbors), dtype=torch.int64, device=X.device)
    distances = torch.empty((len(X), n_neighbors), dtype=torch.float32, device=X.device)
    for cells in torch.arange(len(spans), device=X.device).split(256):
        nearest = _nearest_cells(partition.centres, cells, max(n_probes, count))
        needed = 1 + (sizes[nearest].cumsum(dim=1) < count).sum(dim=1)
        for cell, near, reach in zip(cells.tolist(), nearest.tolist(), needed.tolist(), strict=True):
            near = [spans[other] for other in near[: max(n_probes, reach)]]
            rows = order[spans[cell]]
            around = torch.cat([points[span] for span in near]) - centres[cell]  # so that no digits are lost
            expanded = torch.addmm(around.square().sum(dim=1), around[: len(rows)], around.T, alpha=-2)
            expanded.fill_diagonal_(-torch.inf)
            nearest_around = expanded.topk(count, dim=1, largest=False, sorted=False).indices
            candidates = torch.cat([order[span] for span in near])[nearest_around]
            indices[rows], distances[rows] = nearest_of(X, rows, candidates, n_neighbors)
    return indices, distances
