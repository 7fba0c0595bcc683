"""The nearest points in cells, on the CPU: loops that numba compiles.

A cell's points lie axis by axis, so that one instruction compares a point with several of them, and stay in the
cache while all points near to it are compared. Squares of distances are direct differences; as they are not negative,
their bits are ordered as they are, and a number of 64 bits holds one and the place of its point.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit

from .cells import AROUND, LARGEST, gaps_to

PARTS = 16  # of the work for each thread, so that none waits for long
NONE = np.int64(0x7F800000) << 32  # infinity, and no place
PLACE = np.int64(0xFFFFFFFF)
BYTES = 2**25  # of gaps between centres at a time


def nearest_in_cells(cells, n_probes, count, n_searched=None):
    """Find the nearest of each point among the points of the cells nearest to it.

    The cells are looked for among those near to its own.

    Parameters
    ----------
    cells : Cells
        The points.
    n_probes : int
        In how many cells.
    count : int
        How many points.
    n_searched : int or None, default=None
        The points of so many cells, the first ones, are searched for; None searches for all.

    Returns
    -------
    nearest : Tensor of shape (n_searched_for, count), int32
        Their places by rising distance, without the point itself; -1 where the cells hold too few.
    """
    n_cells = len(cells.centres)
    n_searched = n_cells if n_searched is None else n_searched
    n_around = min(AROUND * n_probes, n_cells)
    near = [
        gaps_to(cells.centres, part).topk(n_around, dim=1, largest=False).indices
        for part in cells.centres[:n_searched].split(max(1, BYTES // (4 * n_cells)))
    ]
    points, centres = _filled_up(cells.points), _filled_up(cells.centres)
    starts = cells.starts.numpy()
    by_axis = np.empty(points.size, dtype=np.float32)
    nearest = np.empty((starts[n_searched], count), dtype=np.int32)
    laid = points, centres, starts, by_axis
    _in_threads(lambda first, last: _lay_by_axis(points, starts, by_axis, first, last), n_cells)
    near = torch.cat(near).numpy()
    _in_threads(lambda first, last: _search(*laid, near, min(n_probes, n_around), nearest, first, last), n_searched)
    return torch.from_numpy(nearest)


def _filled_up(points):
    """With axes of zeros, so that there are a multiple of four."""
    return torch.nn.functional.pad(points, (0, -points.shape[1] % 4)).numpy()


def _in_threads(work, n):
    """Do work on 0 to n in parts, each in a thread of torch's number."""
    n_threads = torch.get_num_threads()
    bounds = np.linspace(0, n, min(n, PARTS * n_threads) + 1).astype(np.int64)
    with ThreadPoolExecutor(n_threads) as pool:  # it waits for its threads, also where one fails or is interrupted
        list(pool.map(work, bounds[:-1], bounds[1:]))


def _compiled(**how):
    """What numba compiles once for all processes, where it may write; else anew in each."""

    def compiled(function):
        try:
            return njit(function, nogil=True, cache=True, **how)
        except RuntimeError:  # it finds no folder that it may write to
            return njit(function, nogil=True, **how)

    return compiled


# ---- What runs compiled ----


@_compiled()
def _lay_by_axis(points, starts, by_axis, first, last):
    n_axes = points.shape[1]
    for cell in range(first, last):
        place = starts[cell] * n_axes
        for axis in range(n_axes):
            for row in range(starts[cell], starts[cell + 1]):
                by_axis[place] = points[row, axis]
                place += 1


@_compiled(fastmath={"contract"})
def _squares_to(point, by_axis, size, squares):
    """The squared distances of a point to `size` others."""
    squares[:size] = 0
    for axis in range(0, len(point), 4):
        first, second, third, fourth = point[axis], point[axis + 1], point[axis + 2], point[axis + 3]
        along_first = by_axis[axis * size : (axis + 1) * size]
        along_second = by_axis[(axis + 1) * size : (axis + 2) * size]
        along_third = by_axis[(axis + 2) * size : (axis + 3) * size]
        along_fourth = by_axis[(axis + 3) * size : (axis + 4) * size]
        for i in range(size):
            squares[i] += (
                (along_first[i] - first) ** 2
                + (along_second[i] - second) ** 2
                + (along_third[i] - third) ** 2
                + (along_fourth[i] - fourth) ** 2
            )


@_compiled()
def _insert(key, kept, moved):
    """Put a key into a sorted list, whose last falls out; without a branch, and so by a few instructions."""
    last = len(kept) - 1
    for i in range(last):
        moved[i] = max(kept[i], key)
    kept[0] = min(kept[0], key)
    for i in range(last):
        kept[i + 1] = min(kept[i + 1], moved[i])


@_compiled()
def _keep_nearest(bits, size, first, kept, nearer, moved):
    """Put those of `size` places from `first` into a list that are nearer than its last; bits are of their squares."""
    bound = np.int32(kept[-1] >> 32)
    any_nearer = np.int32(0)
    for i in range(size):
        any_nearer |= np.int32(bits[i] < bound)
    if any_nearer:
        n_nearer = 0
        for i in range(size):  # without a branch, which would be guessed wrong too often
            nearer[n_nearer] = i
            n_nearer += bits[i] < bound
        for i in nearer[:n_nearer]:
            if bits[i] < kept[-1] >> 32:
                _insert(np.int64(bits[i]) << 32 | (first + i), kept, moved)


@_compiled()
def _places(kept, nearest):
    for i in range(len(kept)):
        nearest[i] = kept[i] & PLACE if kept[i] < NONE else -1


@_compiled()
def _search(points, centres, starts, by_axis, around, n_probes, nearest, first, last):
    n_axes, n_around, count = points.shape[1], around.shape[1], nearest.shape[1]
    widest = max(n_around, LARGEST)
    squares = np.empty(widest, dtype=np.float32)
    bits = squares.view(np.int32)
    near_centres = np.empty(n_around * n_axes, dtype=np.float32)
    is_near = np.empty((LARGEST, n_around), dtype=np.bool_)
    probes = np.empty(n_probes, dtype=np.int64)
    kept = np.empty((LARGEST, count), dtype=np.int64)
    nearer, moved = np.empty(widest, dtype=np.int64), np.empty(max(n_probes, count), dtype=np.int64)
    for own in range(first, last):
        begin, n_points = starts[own], starts[own + 1] - starts[own]
        for axis in range(n_axes):
            for i in range(n_around):
                near_centres[axis * n_around + i] = centres[around[own, i], axis]
        is_near[:] = False
        for row in range(n_points):
            probes[:] = NONE
            _squares_to(points[begin + row], near_centres, n_around, squares)
            _keep_nearest(bits, n_around, 0, probes, nearer, moved)
            for probe in probes:
                is_near[row, probe & PLACE] = True
        kept[:] = NONE
        for i in range(n_around):
            there, size = starts[around[own, i]], starts[around[own, i] + 1] - starts[around[own, i]]
            cell = by_axis[there * n_axes : (there + size) * n_axes]
            for row in range(n_points):
                if is_near[row, i]:
                    _squares_to(points[begin + row], cell, size, squares)
                    if there == begin:
                        squares[row] = np.inf  # the point itself
                    _keep_nearest(bits, size, there, kept[row], nearer, moved)
        for row in range(n_points):
            _places(kept[row], nearest[begin + row])
