"""Cells that hold points near to each other, as of an inverted file index.

They are those of k-means, made in two steps, so that the price of a point does not rise with their number: regions of
all points, and cells of each region. (Jégou, Douze & Schmid, 2011, "Product Quantization for Nearest Neighbor Search",
IEEE TPAMI 33(1); without the quantization.)
"""

from math import isqrt
from typing import NamedTuple

import torch

from ..moments import middle

PER_CELL = 160  # points; 100 to 250 cost the same, and give the same neighbours
LARGEST = 2 * PER_CELL
ROUNDS = 5  # of k-means
DRAWN = 12  # points for each centre, of which k-means learns it
QUERIES = {"cpu": 2**13, "cuda": 2**16}  # points that are compared with all centres at a time


class Cells(NamedTuple):
    """All points in the order of their cells, those near to each other mostly one after another.

    Attributes
    ----------
    rows : Tensor of shape (n_samples,), int64
        Which row each point belongs to.
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    starts : Tensor of shape (n_cells + 1,), int64
        Where each cell begins, and the last ends; none is empty, none holds more than `LARGEST` points.
    centres : Tensor of shape (n_cells, n_axes), float32
        The centre of each cell; pieces of one that was too large have the same.
    """

    rows: torch.Tensor
    points: torch.Tensor
    starts: torch.Tensor
    centres: torch.Tensor


def cells_of(points, rng):
    """Put points into cells.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    rng : RandomState
        What the centres begin with.

    Returns
    -------
    cells : Cells
        Those of k-means; large ones, as of duplicates, are cut into pieces.
    """
    n_cells = -(-len(points) // PER_CELL)
    regions = _k_means(points, isqrt(n_cells), DRAWN * n_cells, rng)
    order, sizes = _by_number(_nearest_centre(points, regions), len(regions))
    rows, centres, of_cells = [], [], []
    for members in order.split(sizes.tolist()):
        if len(members):
            found = _cells_of_region(points.index_select(0, members), rng)
            rows.append(members[found.rows])
            centres.append(found.centres)
            of_cells.append(found.starts.diff())
    rows, sizes = torch.cat(rows), torch.cat(of_cells)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(dim=0)])
    return Cells(rows, points.index_select(0, rows), starts, torch.cat(centres))


def _cells_of_region(points, rng):
    n_cells = -(-len(points) // PER_CELL)
    centres = _k_means(points, n_cells, DRAWN * n_cells, rng)
    order, sizes = _by_number(_nearest_centre(points, centres), n_cells)
    n_pieces = -(-sizes // LARGEST)  # 0 of a cell without points
    centres = centres.repeat_interleave(n_pieces, dim=0)
    first = (n_pieces.cumsum(dim=0) - n_pieces).repeat_interleave(n_pieces)
    place = torch.arange(len(centres), device=points.device) - first
    sizes = (sizes.repeat_interleave(n_pieces) - place * LARGEST).clamp(max=LARGEST)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(dim=0)])
    return Cells(order, points, starts, centres)


def _k_means(points, n_centres, n_drawn, rng):
    """Centres that begin at points drawn at random, and so lie densely where points do."""
    points = points.index_select(0, drawn(rng, points, n_drawn))
    centres = points[:n_centres]
    for _ in range(ROUNDS):
        order, sizes = _by_number(_nearest_centre(points, centres), len(centres))
        # Cell by cell: adding every row to its cell's sum would be another sum every time on a GPU.
        sums = torch.segment_reduce(points.index_select(0, order), "sum", lengths=sizes, axis=0, unsafe=True)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return centres


def _by_number(numbers, n):
    """The places of all 0 among the numbers, then those of all 1, and so on; and how many there are of each."""
    return numbers.argsort(stable=True), torch.bincount(numbers, minlength=n)


def _nearest_centre(points, centres):
    n_queries = QUERIES[points.device.type]
    return torch.cat([gaps_to(centres, part).argmin(dim=1) for part in points.split(n_queries)])


def gaps_to(centres, points):
    """The squares of the distances from points to centres, less the squares of the points: what ranks the centres."""
    origin = middle(centres)  # so that an offset of all costs no digits
    centres, points = centres - origin, points - origin
    return torch.addmm(centres.square().sum(dim=1), points, centres.T, alpha=-2)


def drawn(rng, points, count):
    """The places of at most `count` points drawn at random, each once."""
    return torch.from_numpy(rng.permutation(len(points))[:count]).to(points.device)
