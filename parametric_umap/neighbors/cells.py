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
AROUND = 12  # times as many cells as are searched for a point are near to its own
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


class Centres(NamedTuple):
    """The centres of cells, region by region.

    Attributes
    ----------
    regions : Tensor of shape (n_regions, n_axes), float32
        The centres of the regions.
    of_cells : Tensor of shape (n_cells, n_axes), float32
        Those of the cells of the first region, then of the second, and so on.
    n_cells : list of int
        Number of cells of each region.
    """

    regions: torch.Tensor
    of_cells: torch.Tensor
    n_cells: list


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
    centres = centres_of(points, -(-len(points) // PER_CELL), rng)
    return in_cells(points, nearest_cell(points, centres), centres.of_cells)


def centres_of(points, n_cells, rng):
    """Find the centres of cells.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    n_cells : int
        About how many.
    rng : RandomState
        What the centres begin with.

    Returns
    -------
    centres : Centres
        By k-means of some of the points.
    """
    points = points.index_select(0, drawn(rng, points, DRAWN * n_cells))
    regions = _k_means(points, isqrt(n_cells), rng)
    order, sizes = _by_number(_nearest_centre(points, regions), len(regions))
    has_points = sizes > 0
    found = [
        _k_means(points.index_select(0, members), -(-len(members) * n_cells // len(points)), rng)
        for members in order.split(sizes[has_points].tolist())
    ]
    return Centres(regions[has_points], torch.cat(found), [len(centres) for centres in found])


def nearest_cell(points, centres):
    """Find the cell of each point: of its nearest region's that with the nearest centre.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    centres : Centres
        Those of the cells.

    Returns
    -------
    cell : Tensor of shape (n_samples,), int64
        The number of its cell.
    """
    order, sizes = _by_number(_nearest_centre(points, centres.regions), len(centres.regions))
    cell, first = torch.empty(len(points), dtype=torch.int64, device=points.device), 0
    for members, of_region in zip(order.split(sizes.tolist()), centres.of_cells.split(centres.n_cells), strict=True):
        cell[members] = first + _nearest_centre(points.index_select(0, members), of_region)
        first += len(of_region)
    return cell


def in_cells(points, cell, centres):
    """Sort points by their cells.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    cell : Tensor of shape (n_samples,), int64
        The number of each one's cell.
    centres : Tensor of shape (n_cells, n_axes), float32
        The centre of each cell.

    Returns
    -------
    cells : Cells
        By rising number; large ones are cut into pieces.
    """
    rows, sizes = _by_number(cell, len(centres))
    n_pieces = -(-sizes // LARGEST)  # 0 of a cell without points
    first = (n_pieces.cumsum(dim=0) - n_pieces).repeat_interleave(n_pieces)
    place = torch.arange(len(first), device=points.device) - first
    sizes = (sizes.repeat_interleave(n_pieces) - place * LARGEST).clamp(max=LARGEST)
    starts = torch.cat([sizes.new_zeros(1), sizes.cumsum(dim=0)])
    return Cells(rows, points.index_select(0, rows), starts, centres.repeat_interleave(n_pieces, dim=0))


def _k_means(points, n_centres, rng):
    """Centres that begin at points drawn at random, and so lie densely where points do."""
    centres = points.index_select(0, drawn(rng, points, n_centres))
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
    n_queries = QUERIES[points.device.type]  # of no points there is one part, too
    return torch.cat([gaps_to(centres, part).argmin(dim=1) for part in points.split(n_queries)])


def gaps_to(centres, points):
    """The squares of the distances from points to centres, less the squares of the points: what ranks the centres."""
    origin = middle(centres)  # so that an offset of all costs no digits
    centres, points = centres - origin, points - origin
    return torch.addmm(centres.square().sum(dim=1), points, centres.T, alpha=-2)


def drawn(rng, points, count):
    """The places of at most `count` points drawn at random, each once."""
    return torch.from_numpy(rng.permutation(len(points))[:count]).to(points.device)
