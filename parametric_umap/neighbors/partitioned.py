"""Nearly all Euclidean neighbours of many dense rows: each is sought in a few cells of a partition.

The rows are projected on their leading principal axes and put into the cells of k-means, as in an inverted file index
(Jégou, Douze & Schmid, 2011, "Product Quantization for Nearest Neighbor Search", IEEE TPAMI 33(1)), without the
quantization. One matrix product compares the rows of a cell with all rows that it is near to, and the best of each are
compared again by direct differences of the whole rows. How many axes are kept and how many cells are searched
follows from the recall on a sample of rows whose true neighbours are known.
"""

from math import isqrt
from typing import NamedTuple

import torch
from sklearn.utils import check_random_state

from ..moments import middle
from ..principal_axes import axes_of, enough_rows
from .exact import block_bytes, exact_euclidean, nearest_of, nearest_points

RECALL = 0.98  # share of the sample's true neighbours that has to be found
SLACK = 0.005  # of the recall measured on the sample
SAMPLE = 300
VARIANCE = 0.95  # share of the variance on the axes that are tried first
ROUNDS = 5  # of k-means
PER_CELL = 12  # rows in the sample of k-means
QUERIES = 2**13  # rows that are searched at a time
QUERIES_ON_A_DEVICE = 2**16  # a GPU wants few large products
AROUND = 12  # times as many cells as are searched for a row are near to its own
SELECTION = 100  # the cost of selecting from a product of rows, as a number of features


class Partition(NamedTuple):
    """The cells of all rows, those near to each other mostly one after another.

    Attributes
    ----------
    rows : Tensor of shape (n_samples,), int64
        The rows of the first cell, then those of the second, and so on.
    cell : Tensor of shape (n_samples,), int64
        The cell of each row; none is empty.
    centres : Tensor of shape (n_cells, n_axes), float32
        The centre of each cell.
    """

    rows: torch.Tensor
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
        Neighbours by rising distance, the row itself first. Of a sample's, at least `RECALL` less `SLACK` are the true
        ones; where so many cells were needed for it that an exact search costs less, all are.
    distances : Tensor of shape (n_samples, n_neighbors), float32
        Their distances, by direct differences, in the units of X.
    """
    rng = check_random_state(random_state)
    count = min(n_neighbors + max(8, n_neighbors // 2), len(X))
    rows = _draw(rng, X, SAMPLE)
    sample = Sample(rows, exact_euclidean(X, n_neighbors, rows, spare=64)[1][:, -1:])
    points = _projected(X, sample, n_neighbors, count, rng)
    partition = _partition(points, rng)
    n_probes = max(_likely_probes(X, points, partition, sample, n_neighbors, count), -(-count // _largest_cell(points)))
    while _is_cheaper(n_probes, points, partition, X):
        indices, distances = _search_cells(X, points, partition, n_probes, n_neighbors, count)
        if _is_true(distances[rows], sample).float().mean() >= RECALL - SLACK:
            return indices, distances
        n_probes *= 2
    return exact_euclidean(X, n_neighbors)


def _draw(rng, X, count):
    return torch.from_numpy(rng.permutation(len(X))[:count]).to(X.device)


def _projected(X, sample, n_neighbors, count, rng):
    """The rows on as few principal axes as keep the sample's neighbours among its nearest; else the rows themselves."""
    centre = middle(X)
    axes, held = axes_of(X[_draw(rng, X, enough_rows(X.shape[1]))] - centre)
    n_axes = 1 + int((held < VARIANCE).sum())
    while n_axes <= min(X.shape[1] // 2, len(held)):
        points = torch.cat([(rows - centre) @ axes[:, :n_axes] for rows in X.split(2**13)])
        _, hit = _found(X, points, sample, n_neighbors, count)
        if hit.float().mean() >= (1 + RECALL) / 2:
            return points
        n_axes *= 2
    return X


def _partition(points, rng):
    """The cells of k-means; large ones, as of duplicates, are cut into pieces."""
    n_cells = 4 * isqrt(len(points))
    centres = _k_means(points[_draw(rng, points, PER_CELL * n_cells)], n_cells, rng)
    regions = _k_means(centres, isqrt(n_cells), rng)
    centres = centres[_nearest_centre(centres, regions).argsort(stable=True)]
    cell = _nearest_centre(points, centres)
    order = cell.argsort(stable=True)
    place = torch.empty_like(cell)
    place[order] = torch.arange(len(order), device=order.device) - _starts(cell, n_cells)[cell[order]]
    pieces, cell = (cell * len(points) + place // _largest_cell(points)).unique(return_inverse=True)
    return Partition(cell.argsort(stable=True), cell, centres[pieces // len(points)])


def _largest_cell(points):
    return 2 * -(-len(points) // (4 * isqrt(len(points))))


def _starts(cell, n_cells):
    """Where each cell begins among the rows in the order of their cells."""
    sizes = torch.bincount(cell, minlength=n_cells)
    return sizes.cumsum(dim=0) - sizes


def _k_means(points, n_cells, rng):
    """Centres that begin at rows drawn at random, and so lie densely where rows do."""
    centres = points[_draw(rng, points, n_cells)]
    for _ in range(ROUNDS):
        nearest = _nearest_centre(points, centres)
        sizes = torch.bincount(nearest, minlength=len(centres))
        # Cell by cell: adding every row to its cell's sum would be another sum every time on a GPU.
        ordered = points.index_select(0, nearest.argsort(stable=True))
        sums = torch.segment_reduce(ordered, "sum", lengths=sizes, axis=0, unsafe=True)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return centres


def _nearest_centre(points, centres):
    return torch.cat([_gaps(rows, centres).argmin(dim=1) for rows in points.split(_n_queries(points.device))])


def _gaps(points, centres):
    """The squares of the distances from points to centres, less the squares of the points: what ranks the centres."""
    origin = middle(centres)  # so that an offset of all costs no digits
    return _expanded(points - origin, centres - origin)


def _expanded(points, others):
    return torch.addmm(others.square().sum(dim=1), points, others.T, alpha=-2)


def _likely_probes(X, points, partition, sample, n_neighbors, count):
    """How many of its nearest cells must be searched for each row to find the sample's neighbours."""
    indices, is_true = _found(X, points, sample, n_neighbors, count)
    gaps = _gaps(points[sample.rows], partition.centres)
    ranks = torch.searchsorted(gaps.sort(dim=1).values, gaps)  # pieces of one cell rank alike
    of_true = ranks.gather(1, partition.cell[indices])[is_true].sort().values
    return 1 + int(of_true[min(len(of_true), round(RECALL * is_true.numel())) - 1]) if len(of_true) else 1


def _found(X, points, sample, n_neighbors, count):
    """The neighbours of the sample among the `count` nearest points, and which of them are true ones."""
    candidates = nearest_points(points, sample.rows, count)
    indices, distances = nearest_of(X, sample.rows, candidates, n_neighbors)
    return indices[:, 1:], _is_true(distances, sample)


def _is_true(distances, sample):
    return distances[:, 1:] <= sample.farthest * (1 + 1e-6)


def _is_cheaper(n_probes, points, partition, X):
    compared = n_probes * _largest_cell(points)
    return compared * (points.shape[1] + SELECTION) < len(X) * (X.shape[1] + SELECTION)


def _search_cells(X, points, partition, n_probes, n_neighbors, count):
    """The neighbours of every row among those of its nearest cells."""
    indices = torch.empty((len(X), n_neighbors), dtype=torch.int64, device=X.device)
    distances = torch.empty((len(X), n_neighbors), dtype=torch.float32, device=X.device)
    short = []
    near_cells, nearest_in = _ways(X.device)
    for rows, near in near_cells(points, partition, min(n_probes, len(partition.centres))):
        nearest, squares = nearest_in(points, partition, rows, near, count - 1)
        indices[rows], distances[rows] = nearest_of(X, rows, torch.cat([rows[:, None], nearest], dim=1), n_neighbors)
        short.append(rows[squares.isinf().any(dim=1)])
    short = torch.cat(short)  # of rows within reach
    if len(short):
        indices[short], distances[short] = exact_euclidean(X, n_neighbors, short)
    return indices, distances


def _ways(device):
    """How the cells near to each row are found, and how they are searched."""
    on_cpu = _near_cells, _nearest_cell_by_cell
    return on_cpu if device.type == "cpu" else (_nearest_cells, _nearest_in_batches)


def _n_queries(device):
    return QUERIES if device.type == "cpu" else QUERIES_ON_A_DEVICE


# ---- On the CPU: many small products, none of them padded ----


def _near_cells(points, partition, n_probes):
    """All rows, some at a time in the order of their cells, with the cells nearest to each.

    They are looked for among the cells that are near to its own.
    """
    order, cell, centres = partition
    around = _gaps(centres, centres).topk(min(AROUND * n_probes, len(centres)), dim=1, largest=False).indices
    near = torch.empty((len(points), n_probes), dtype=torch.int64, device=points.device)
    for cells, rows in zip(around, order.split(torch.bincount(cell).tolist()), strict=True):
        near[rows] = cells[_gaps(points[rows], centres[cells]).topk(n_probes, dim=1, largest=False).indices]
    for rows in order.split(_n_queries(points.device)):
        yield rows, near[rows]


def _nearest_cell_by_cell(points, partition, rows, near, count):
    """The `count` points nearest to those of some rows in the cells near to each, and the squares of their distances.

    One matrix product compares all points that are near to a cell with those of the cell, relative to its centre, so
    that no digits are lost.
    """
    order, cell, centres = partition
    starts = _starts(cell, len(centres))
    bounds = [*starts.tolist(), len(points)]
    queries = points[rows]
    squares = torch.full((near.numel(), _largest_cell(points)), torch.inf, device=points.device)
    pairs = near.flatten().argsort(stable=True)
    n_pairs = torch.bincount(near.flatten(), minlength=len(centres)).tolist()
    for index, here in enumerate(pairs.split(n_pairs)):
        if len(here):
            members = order[bounds[index] : bounds[index + 1]]
            theirs = points[members] - centres[index]
            ours = queries.index_select(0, here // near.shape[1]) - centres[index]
            expanded = _expanded(ours, theirs).add_(ours.square().sum(dim=1, keepdim=True))
            expanded[rows[here // near.shape[1], None] == members] = torch.inf  # the row itself
            squares[here, : len(members)] = expanded
    nearest = squares.view(len(near), -1).topk(count, dim=1, largest=False)
    width = squares.shape[1]
    places = starts[near.gather(1, nearest.indices // width)] + nearest.indices % width
    return order[places.clamp(max=len(points) - 1)], nearest.values


# ---- On a device: few large products, of cells that are padded to the same size ----


def _nearest_cells(points, partition, n_probes):
    """All rows, some at a time in the order of their cells, with the cells nearest to each."""
    for rows in partition.rows.split(_n_queries(points.device)):
        gaps = _gaps(points.index_select(0, rows), partition.centres)
        yield rows, gaps.topk(n_probes, dim=1, largest=False).indices


def _nearest_in_batches(points, partition, rows, near, count):
    """The same as `_nearest_cell_by_cell`; a batch of cells is searched by one batch of products."""
    n_probes, width = near.shape[1], _largest_cell(points)
    n_kept = min(count, width)
    # One line more than there are pairs of a row and a cell: for what fills batches up.
    values = torch.full((near.numel() + 1, n_kept), torch.inf, device=points.device)
    found = torch.zeros((near.numel() + 1, n_kept), dtype=torch.int64, device=points.device)
    widest = max(width, points.shape[1])  # of what is made for each pair: squares, or the rows themselves
    for cells, pairs, is_pair in _batches_of_cells(near.flatten(), len(partition.centres), widest, points.device):
        queries = rows.index_select(0, (pairs // n_probes).flatten()).view_as(pairs)
        members, squares = _squares_within(points, partition, cells, queries, width)
        nearest = squares.topk(n_kept, dim=2, largest=False)
        line = torch.where(is_pair, pairs, near.numel()).flatten()
        values[line] = nearest.values.flatten(0, 1)
        found[line] = members[:, None].expand_as(squares).gather(2, nearest.indices).flatten(0, 1)
    nearest = values[:-1].view(len(near), -1).topk(count, dim=1, largest=False)
    return found[:-1].view(len(near), -1).gather(1, nearest.indices), nearest.values


def _batches_of_cells(near, n_cells, width, device):
    """Cells that are near to about as many rows, as many as fit; the pairs of each, filled up, and which are some."""
    pairs, n_pairs = near.argsort(stable=True), torch.bincount(near, minlength=n_cells)
    starts = n_pairs.cumsum(dim=0) - n_pairs
    by_size = n_pairs.argsort(descending=True, stable=True)
    sizes = n_pairs.index_select(0, by_size).tolist()  # the one wait
    first = 0
    while first < n_cells and sizes[first]:
        n_together = max(1, block_bytes(device) // (4 * sizes[first] * width))
        cells = by_size[first : first + n_together]
        places = torch.arange(sizes[first], device=device)
        in_pairs = (starts.index_select(0, cells)[:, None] + places).clamp_(max=len(pairs) - 1)
        yield cells, pairs[in_pairs], places < n_pairs.index_select(0, cells)[:, None]
        first += n_together


def _squares_within(points, partition, cells, queries, width):
    """The members of cells, filled up, and the squared distances of each cell's queries to them, about its centre."""
    order, cell, centres = partition
    starts, sizes = _starts(cell, len(centres)), torch.bincount(cell, minlength=len(centres))
    places = torch.arange(width, device=points.device)
    is_member = places < sizes.index_select(0, cells)[:, None]
    members = order[(starts.index_select(0, cells)[:, None] + places).clamp_(max=len(points) - 1)]
    theirs, ours = (points[part] - centres.index_select(0, cells)[:, None] for part in (members, queries))
    squares = torch.baddbmm(theirs.square().sum(dim=2)[:, None], ours, theirs.transpose(1, 2), alpha=-2)
    squares += ours.square().sum(dim=2, keepdim=True)
    squares.masked_fill_(~is_member[:, None] | (members[:, None] == queries[:, :, None]), torch.inf)
    return members, squares
