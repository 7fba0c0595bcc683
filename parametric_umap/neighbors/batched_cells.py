"""The nearest points in cells, on a device: few large products.

Cells that are near to about as many points are filled up to the same size, and searched together.
"""

import torch

from .cells import LARGEST, QUERIES, gaps_to
from .exact import block_bytes


def nearest_in_batches(cells, n_probes, count, n_searched=None):
    """Find the nearest of each point among the points of the cells nearest to it.

    Parameters
    ----------
    cells, n_probes, count, n_searched
        As in `compiled_cells.nearest_in_cells`.

    Returns
    -------
    nearest : Tensor of shape (n_searched_for, count), int32
        Their places by rising distance, without the point itself; -1 where the cells hold too few.
    """
    n_probes = min(n_probes, len(cells.centres))
    n_points = len(cells.points) if n_searched is None else int(cells.starts[n_searched])
    places = torch.arange(n_points, device=cells.points.device)
    return torch.cat([_nearest_of_some(cells, here, n_probes, count) for here in places.split(QUERIES["cuda"])])


def _nearest_of_some(cells, here, n_probes, count):
    queries = cells.points.index_select(0, here)
    near = gaps_to(cells.centres, queries).topk(n_probes, dim=1, largest=False).indices.flatten()
    n_kept = min(count, LARGEST)
    # One line more than there are pairs of a point and a cell: for what fills batches up.
    values = torch.full((len(near) + 1, n_kept), torch.inf, device=near.device)
    found = torch.zeros((len(near) + 1, n_kept), dtype=torch.int64, device=near.device)
    widest = max(LARGEST, queries.shape[1])  # of what is made for each pair: squares, or the points themselves
    for numbers, pairs, is_pair in _batches(near, len(cells.centres), widest):
        own = here.index_select(0, (pairs // n_probes).flatten()).view_as(pairs)
        members, squares = _squares_within(cells, numbers, own)
        best = squares.topk(n_kept, dim=2, largest=False)
        line = torch.where(is_pair, pairs, len(near)).flatten()
        values[line] = best.values.flatten(0, 1)
        found[line] = members[:, None].expand_as(squares).gather(2, best.indices).flatten(0, 1)
    best = values[:-1].view(len(here), -1).topk(count, dim=1, largest=False, sorted=True)
    nearest = found[:-1].view(len(here), -1).gather(1, best.indices)
    return nearest.masked_fill_(best.values.isinf(), -1).int()


def _batches(near, n_cells, width):
    """Cells that are near to about as many points, as many as fit; the pairs of each, filled up, and which are some."""
    device = near.device
    pairs, n_pairs = near.argsort(stable=True), torch.bincount(near, minlength=n_cells)
    starts = n_pairs.cumsum(dim=0) - n_pairs
    by_size = n_pairs.argsort(descending=True, stable=True)
    sizes = n_pairs.index_select(0, by_size).tolist()  # the one wait
    first = 0
    while first < n_cells and sizes[first]:
        n_together = max(1, block_bytes(device) // (4 * sizes[first] * width))
        numbers = by_size[first : first + n_together]
        places = torch.arange(sizes[first], device=device)
        in_pairs = (starts.index_select(0, numbers)[:, None] + places).clamp_(max=len(pairs) - 1)
        yield numbers, pairs[in_pairs], places < n_pairs.index_select(0, numbers)[:, None]
        first += n_together


def _squares_within(cells, numbers, own):
    """The members of cells, filled up, and the squared distances of some points to them, about a cell's centre."""
    starts, centres = cells.starts.index_select(0, numbers)[:, None], cells.centres.index_select(0, numbers)[:, None]
    ends = cells.starts.index_select(0, numbers + 1)[:, None]
    places = starts + torch.arange(LARGEST, device=own.device)
    members = places.clamp(max=len(cells.points) - 1)
    theirs, ours = (cells.points[part] - centres for part in (members, own))
    squares = torch.baddbmm(theirs.square().sum(dim=2)[:, None], ours, theirs.transpose(1, 2), alpha=-2)
    squares += ours.square().sum(dim=2, keepdim=True)
    squares.masked_fill_((places >= ends)[:, None] | (members[:, None] == own[:, :, None]), torch.inf)
    return members, squares
