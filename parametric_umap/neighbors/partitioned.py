"""Nearly all Euclidean neighbours of many dense rows: each is sought in a few cells.

The rows are projected on their leading principal axes and put into cells. The best of those in the cells nearest to a
row are compared with it again, by direct differences of the whole rows. How many axes are kept and how many cells are
searched follows from the recall on a sample of rows whose true neighbours are known.
"""

from typing import NamedTuple

import torch
from sklearn.utils import check_random_state

from ..moments import middle
from ..principal_axes import axes_of, enough_rows
from .batched_cells import nearest_in_batches
from .cells import PER_CELL, cells_of, drawn, gaps_to
from .exact import exact_euclidean, nearest_of, nearest_points

RECALL = 0.98  # share of the sample's true neighbours that has to be found
SLACK = 0.005  # of the recall measured on the sample
SAMPLE = 300
VARIANCE = 0.95  # share of the variance on the axes that are tried first
ROWS = 2**16  # that are compared again at a time
SELECTION = 100  # the cost of selecting from a product of rows, as a number of features


class Sample(NamedTuple):
    """Rows whose true neighbours are known.

    Attributes
    ----------
    rows : Tensor of shape (n_sampled,), int64
        Their indices.
    neighbors : Tensor of shape (n_sampled, n_neighbors), int64
        The true neighbours, the row itself first.
    farthest : Tensor of shape (n_sampled, 1), float32
        Distance of the last of each.
    """

    rows: torch.Tensor
    neighbors: torch.Tensor
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
        Neighbours by rising distance, the row itself first. Of a sample's, at least `RECALL` less `SLACK` are the true
        ones; where so many cells were needed for it that an exact search costs less, all are.
    distances : Tensor of shape (n_samples, n_neighbors), float32
        Their distances, by direct differences, in the units of X.
    """
    rng = check_random_state(random_state)
    sample = _sample(X, n_neighbors, rng)
    points, near, is_true, _ = _projected(X, sample, n_neighbors, rng)
    cells = cells_of(points, rng)
    n_probes = _likely_probes(points, cells, sample.rows, near, is_true)
    while _is_cheaper(n_probes, points, X):
        indices, distances = neighbors_in_cells(X, cells, n_probes, n_neighbors)
        if _is_true(distances[sample.rows], sample).float().mean() >= RECALL - SLACK:
            return indices, distances
        n_probes *= 2
    return exact_euclidean(X, n_neighbors)


def axes_that_keep_neighbors(X, n_neighbors, rng):
    """Find as few principal axes as keep the neighbours of a sample.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32
        The rows.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    rng : RandomState
        What the sample is drawn by.

    Returns
    -------
    axes : Tensor of shape (n_features, n_axes), float32, or None
        Orthonormal columns; None if it takes more than half of them.
    """
    return _projected(X, _sample(X, n_neighbors, rng), n_neighbors, rng)[3]


def _n_candidates(n_neighbors):
    """How many points are compared again by whole rows, the row itself counted."""
    return n_neighbors + max(8, n_neighbors // 2)


def _sample(X, n_neighbors, rng):
    rows = drawn(rng, X, SAMPLE)
    neighbors, distances = exact_euclidean(X, n_neighbors, rows, spare=64)
    return Sample(rows, neighbors, distances[:, -1:])


def _projected(X, sample, n_neighbors, rng):
    """The rows on as few principal axes as keep the sample's neighbours among its nearest; else the rows themselves.

    Then the neighbours of the sample's rows that are found so, which of them are true ones, and the axes.
    """
    count = min(_n_candidates(n_neighbors), len(X))
    centre = middle(X)
    axes, held = axes_of(X[drawn(rng, X, enough_rows(X.shape[1]))] - centre)
    n_axes = 1 + int((held < VARIANCE).sum())
    while n_axes <= min(X.shape[1] // 2, len(held)):
        points = torch.cat([(rows - centre) @ axes[:, :n_axes] for rows in X.split(2**13)])
        candidates = nearest_points(points, sample.rows, count)
        near, distances = nearest_of(X, sample.rows, candidates, n_neighbors)
        is_true = _is_true(distances, sample)
        if is_true.float().mean() >= (1 + RECALL) / 2:
            return points, near[:, 1:], is_true, axes[:, :n_axes]
        n_axes *= 2
    near = sample.neighbors[:, 1:]
    return X, near, torch.ones_like(near, dtype=torch.bool), None


def _is_true(distances, sample):
    return distances[:, 1:] <= sample.farthest * (1 + 1e-6)


def _likely_probes(points, cells, rows, near, is_true):
    """How many of its nearest cells must be searched for each row to find the true ones of the sample's near rows."""
    place = torch.empty_like(cells.rows)
    place[cells.rows] = torch.arange(len(place), device=place.device)
    cell = torch.searchsorted(cells.starts, place[near], right=True) - 1
    return probes_to_find(cells.centres, points[rows], cell, is_true)


def probes_to_find(centres, points, cell, is_true):
    """Say how many of its nearest cells must be searched for a point to find its neighbours.

    Parameters
    ----------
    centres : Tensor of shape (n_cells, n_axes), float32
        Those of the cells.
    points : Tensor of shape (n_points, n_axes), float32
        Some points.
    cell : Tensor of shape (n_points, n_near), int64
        The cells of the nearest of each.
    is_true : Tensor of shape (n_points, n_near), bool
        Which of these are its neighbours; the others are not to be found.

    Returns
    -------
    n_probes : int
        So many hold the share `RECALL` of all.
    """
    gaps = gaps_to(centres, points)
    ranks = torch.searchsorted(gaps.sort(dim=1).values, gaps)  # pieces of one cell rank alike
    of_true = ranks.gather(1, cell)[is_true].sort().values
    return 1 + int(of_true[min(len(of_true) - 1, round(RECALL * is_true.numel()))]) if len(of_true) else 1


def _is_cheaper(n_probes, points, X):
    return n_probes * PER_CELL * (points.shape[1] + SELECTION) < len(X) * (X.shape[1] + SELECTION)


def neighbors_in_cells(X, cells, n_probes, n_neighbors, n_searched=None):
    """Find the neighbours of rows among the points in their nearest cells.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32
        All rows.
    cells : Cells
        Their points.
    n_probes : int
        In how many cells neighbours are looked for.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    n_searched : int or None, default=None
        The rows of so many cells, the first ones, are searched for, which are then the first rows of `X`; None searches
        for all.

    Returns
    -------
    indices : Tensor of shape (n_searched_for, n_neighbors), int64
        Neighbours by rising distance, the row itself first.
    distances : Tensor of shape (n_searched_for, n_neighbors), float32
        Their distances.
    """
    count = min(_n_candidates(n_neighbors), len(X)) - 1
    nearest = _way(X.device)(cells, max(n_probes, -(-count // PER_CELL)), count, n_searched)
    searched = cells.rows[: len(nearest)]
    indices = torch.empty((len(searched), n_neighbors), dtype=torch.int64, device=X.device)
    distances = torch.empty((len(searched), n_neighbors), dtype=torch.float32, device=X.device)
    for rows, near in zip(searched.split(ROWS), nearest.split(ROWS), strict=True):
        candidates = torch.cat([rows[:, None], cells.rows[near.clamp(min=0)]], dim=1)
        indices[rows], distances[rows] = nearest_of(X, rows, candidates, n_neighbors)
    short = searched[(nearest < 0).any(dim=1)]  # of points within reach
    if len(short):
        indices[short], distances[short] = exact_euclidean(X, n_neighbors, short)
    return indices, distances


def _way(device):
    """What searches cells there."""
    if device.type != "cpu":
        return nearest_in_batches
    from .compiled_cells import nearest_in_cells  # numba takes its time: only where it is needed

    return nearest_in_cells
