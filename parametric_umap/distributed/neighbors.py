"""The neighbours of a process's rows among the rows of all processes.

Each process searches for its own rows, in its own cells and in those of others that are near to them: these come once.
How many cells must be searched follows from a sample of rows whose true neighbours all processes have found together.
"""

from typing import NamedTuple

import numpy as np
import torch

from ..moments import middle
from ..neighbors.cells import AROUND, PER_CELL, Centres, centres_of, gaps_to, in_cells, nearest_cell
from ..neighbors.exact import nearest_of
from ..neighbors.partitioned import (
    RECALL,
    SAMPLE,
    SLACK,
    axes_that_keep_neighbors,
    neighbors_in_cells,
    probes_to_find,
)
from .shares import answers, shared_out, stretches

CELLS_OF_EACH = 8  # at least for every process
EXACT_ROWS = 20_000  # of all processes; up to so many all cells are searched
SPARE = 8  # candidates of the sample beyond its neighbours


class Map(NamedTuple):
    """How all processes find the cell of a row.

    Attributes
    ----------
    centre : Tensor of shape (n_features,), float32
        What is subtracted from the rows.
    axes : Tensor of shape (n_features, n_axes), float32, or None
        What they are projected on, if on anything.
    centres : Centres
        Those of the cells.
    """

    centre: torch.Tensor
    axes: torch.Tensor | None
    centres: Centres | None

    def points(self, rows):
        """The points of rows, a tensor of shape (n, n_axes)."""
        rows = rows - self.centre
        return rows if self.axes is None else rows @ self.axes


def cells_for_all(group, sample, n_rows, n_neighbors, random_state):
    """Agree on the cells.

    Parameters
    ----------
    group : Group
        All processes.
    sample : Tensor of shape (n_sampled, n_features), float32
        Rows of all processes, the same in each.
    n_rows, n_neighbors : int
        Number of rows of all processes, and of neighbours, the row itself counted.
    random_state : int
        What the centres begin with.

    Returns
    -------
    cells : Map
        The first process's.
    """
    rng = np.random.RandomState(random_state)
    axes = axes_that_keep_neighbors(sample, n_neighbors, rng) if n_rows > EXACT_ROWS else None
    by_rows = Map(middle(sample), axes, None)
    wanted = max(-(-n_rows // PER_CELL), CELLS_OF_EACH * group.size)
    centres = centres_of(by_rows.points(sample), min(wanted, max(1, len(sample) // 2)), rng)
    return group.of_first(by_rows._replace(centres=centres))


def find_neighbors_together(group, X, cells, sample, n_neighbors):
    """Find the neighbours of rows of which every process has some.

    Parameters
    ----------
    group : Group
        All processes.
    X : Tensor of shape (n_given, n_features), float32
        The rows of this one.
    cells : Map
        What `cells_for_all` gave.
    sample : Tensor of shape (n_sampled, n_features), float32
        Rows of all processes, the same in each.
    n_neighbors : int
        Number of neighbours, the row itself counted.

    Returns
    -------
    share : Share
        The rows of which this process is the owner now.
    indices : Tensor of shape (n_own, n_neighbors), int64
        The places of their neighbours, the row itself first.
    distances : Tensor of shape (n_own, n_neighbors), float32
        Their distances.
    """
    n_cells = len(cells.centres.of_cells)
    share = shared_out(group, X, nearest_cell(cells.points(X), cells.centres), n_cells)
    known = _true_neighbors(group, share, cells, sample[:: -(-len(sample) // SAMPLE)], n_neighbors)
    n_rows = int(share.starts[-1])
    n_probes = n_cells
    if n_rows > EXACT_ROWS:
        are_all = torch.ones_like(known.cell, dtype=torch.bool)
        n_probes = probes_to_find(cells.centres.of_cells, cells.points(known.queries), known.cell, are_all)
    while True:
        rows, local, places = _with_near_cells(group, share, cells, n_probes)
        n_own_cells = int(torch.searchsorted(local.starts, len(share.rows)))
        indices, distances = neighbors_in_cells(rows, local, n_probes, n_neighbors, n_own_cells)
        if n_probes >= n_cells or _recall(group, known, distances) >= RECALL - SLACK:
            return share, places[indices], distances
        n_probes = min(2 * n_probes, n_cells)


class Known(NamedTuple):
    """Sampled rows and their true neighbours among the rows of all processes.

    Attributes
    ----------
    queries : Tensor of shape (n_queries, n_features), float32
        The rows.
    own : Tensor of shape (n_queries,), int64
        The number that the row has in this process, or -1.
    cell : Tensor of shape (n_queries, n_neighbors), int64
        The cells of the neighbours.
    farthest : Tensor of shape (n_queries, 1), float32
        The distance of the last neighbour.
    """

    queries: torch.Tensor
    own: torch.Tensor
    cell: torch.Tensor
    farthest: torch.Tensor


def _true_neighbors(group, share, cells, queries, n_neighbors):
    rows = torch.cat([queries, share.rows])
    count = min(n_neighbors + SPARE, len(share.rows))
    asked = torch.arange(len(queries), device=rows.device)
    nearest = torch.cdist(queries, share.rows).topk(count, dim=1, largest=False).indices
    candidates = torch.cat([asked[:, None], len(queries) + nearest], dim=1)
    indices, distances = nearest_of(rows, asked, candidates, count + 1)
    number = indices[:, 1:] - len(queries)
    # The row itself is among those of its owner, at distance 0.
    found = torch.stack([distances[:, 1:].double(), share.cell[number].double()], dim=2)
    found = torch.cat([part.transpose(0, 1) for part in group.gather(found.transpose(0, 1))], dim=1)
    order = found[:, :, 0].topk(min(n_neighbors, found.shape[1]), dim=1, largest=False).indices
    found = found.gather(1, order[:, :, None].expand(-1, -1, 2))
    is_own = distances[:, 1] == 0
    own = torch.where(is_own, number[:, 0], -1)
    return Known(queries, own, found[:, :, 1].long(), found[:, -1:, 0].float())


def _with_near_cells(group, share, cells, n_probes):
    """The rows of this process, behind them those of all other cells that are near to its own, and their places."""
    own, centres = share.cell.unique(), cells.centres.of_cells
    n_around = min(AROUND * n_probes, len(centres))
    near = torch.cat(
        [
            gaps_to(centres, part).topk(n_around, dim=1, largest=False).indices.unique()
            for part in centres[own].split(1024)
        ]
    ).unique()
    wanted = near[share.owner[near] != group.rank]

    def members(asked):
        starts = torch.searchsorted(share.cell, asked)
        lengths = torch.searchsorted(share.cell, asked, right=True) - starts
        rows = stretches(starts, lengths)
        return lengths, (share.rows[rows], share.starts[group.rank] + rows)

    lengths, (rows, places) = answers(group, wanted, share.owner[wanted], members)
    number = torch.cat(
        [torch.searchsorted(own, share.cell), len(own) + torch.arange(len(wanted)).repeat_interleave(lengths)]
    )
    rows = torch.cat([share.rows, rows])
    local = in_cells(cells.points(rows), number, centres[torch.cat([own, wanted])])  # they are in this order already
    return rows, local, torch.cat([share.starts[group.rank] + torch.arange(len(share.rows)), places])


def _recall(group, known, distances):
    """The share of the sample's true neighbours that have been found."""
    is_here = known.own >= 0
    hit = distances[known.own[is_here], 1:] <= known.farthest[is_here] * (1 + 1e-5)
    n_hit, n_all = group.sum(torch.tensor([int(hit.sum()), hit.numel()])).tolist()
    return n_hit / max(1, n_all)
