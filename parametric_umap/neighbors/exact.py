"""Exact neighbours: Euclidean ones of dense rows by blocks of matrix products, all others by scikit-learn."""

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.neighbors import NearestNeighbors

from ..moments import middle

BLOCK_BYTES = 2**25  # of a matrix product on a processor; and a copy of the rows is made by parts of half as much
LEAST_BYTES = 2**22  # where less does not fit either, a GPU's memory is full
CACHE_BYTES = 2**20  # of a processor's second level, in which gathered rows are subtracted


def exact_euclidean(X, n_neighbors, queries=None, spare=8):
    """Find the Euclidean neighbours of dense rows among all rows.

    The expanded square |x|² - 2xy + |y|², in a low precision, proposes `spare` candidates too many; their distances are
    then taken from direct differences. A row whose last candidate lies within rounding error of its last neighbour
    could have missed one: its candidates are proposed again in the next higher precision, at last in float64.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32
        The rows, of a magnitude whose squares are finite.
    n_neighbors : int
        Number of neighbours, the row itself counted; at most `n_samples`.
    queries : Tensor of shape (n_queries,), int64, or None, default=None
        The rows whose neighbours are asked for; None asks for those of all.
    spare : int, default=8
        Number of candidates beyond the neighbours.

    Returns
    -------
    indices : Tensor of shape (n_queries, n_neighbors), int64
        Neighbours by rising distance; the row itself comes first.
    distances : Tensor of shape (n_queries, n_neighbors), float32
        Their distances, in the units of X.

    Raises
    ------
    torch.OutOfMemoryError
        If a GPU's memory does not even hold small blocks.
    """
    queries = torch.arange(len(X), device=X.device) if queries is None else queries
    n_bytes = block_bytes(X.device)
    while True:
        try:
            return _search(X, n_neighbors, queries, min(n_neighbors + spare, len(X)), n_bytes)
        except torch.OutOfMemoryError:
            if n_bytes <= LEAST_BYTES:
                raise
        torch.cuda.empty_cache()
        n_bytes //= 4


def block_bytes(device):
    """Bytes of a block of work that suit a device: what its cache likes, or a share of a GPU's free memory."""
    return min(2**31, torch.cuda.mem_get_info(device)[0] // 16) if device.type == "cuda" else BLOCK_BYTES


def roomy_device(device, n_bytes):
    """The device, if it is a GPU whose memory takes the rows twice, else the CPU."""
    device = torch.device(device)
    roomy = device.type == "cuda" and 2 * n_bytes < torch.cuda.mem_get_info(device)[0]
    return device if roomy else torch.device("cpu")


def _search(X, n_neighbors, queries, count, n_bytes):
    indices = torch.empty((len(queries), n_neighbors), dtype=torch.int64, device=X.device)
    distances = torch.empty((len(queries), n_neighbors), dtype=torch.float32, device=X.device)
    sure = torch.zeros(len(queries), dtype=torch.bool, device=X.device)
    centre = middle(X)
    part = max(1, n_bytes // (8 * X.shape[1]))
    positions = torch.arange(len(queries), device=X.device)
    precisions = _precisions(X.device)
    unit = torch.maximum(X.amax(dim=0) - centre, centre - X.amin(dim=0)).max() if torch.float16 in precisions else None
    for dtype in precisions:
        block = max(1, n_bytes // (4 * min(len(X), part)) // (2 if dtype == torch.float64 else 1))
        for here in positions.split(block):
            candidates, bound, lengths = _candidates(X, queries[here], count, centre, part, dtype, unit)
            indices[here], distances[here] = nearest_of(X, queries[here], candidates, n_neighbors)
            # A row that was missed is nearer than the last neighbour, and so not much longer than the row itself.
            farthest = distances[here, -1]
            sure[here] = farthest.square() <= bound - _error(X.shape[1], 2 * lengths + farthest, dtype, unit)
        if count == len(X):
            break
        positions = (~sure).nonzero()[:, 0]  # the one wait
        if not len(positions):
            break
    return indices, distances


def _precisions(device):
    """The precisions in which candidates are proposed, one after the other, until every row is sure.

    A GPU multiplies float16 many times faster than float32, and can keep the sums in float32.
    """
    half = [torch.float16] if device.type == "cuda" and _multiplies_half_to_float32() else []
    return [*half, torch.float32, torch.float64]


def _multiplies_half_to_float32():
    return "dtype" in torch.ops.aten.mm.overloads()  # torch 2.8 and later


def nearest_of(X, rows, candidates, n_neighbors):
    """Find the nearest candidates of each row by direct differences.

    Parameters
    ----------
    X : Tensor of shape (n_samples, n_features), float32
        All rows.
    rows : Tensor of shape (n_rows,), int64
        Indices of the rows whose neighbours are asked for.
    candidates : Tensor of shape (n_rows, n_candidates), int64
        Indices of the candidates of each: the row itself and others, each once.
    n_neighbors : int
        How many to keep.

    Returns
    -------
    indices : Tensor of shape (n_rows, n_neighbors), int64
        The nearest by rising distance, the row itself first.
    distances : Tensor of shape (n_rows, n_neighbors), float32
        Their distances.
    """
    n_bytes = CACHE_BYTES if X.device.type == "cpu" else block_bytes(X.device)
    few = max(1, n_bytes // (4 * candidates.shape[1] * X.shape[1]))
    squares = torch.cat(
        [_direct_squares(X, *block) for block in zip(rows.split(few), candidates.split(few), strict=True)]
    )
    squares.masked_fill_(candidates == rows[:, None], -1)
    nearest = squares.topk(n_neighbors, dim=1, largest=False, sorted=True)
    return candidates.gather(1, nearest.indices), nearest.values.clamp(min=0).sqrt()


def nearest_points(points, rows, count):
    """Find the points nearest to some of them, up to the rounding errors of expanded squares.

    Parameters
    ----------
    points : Tensor of shape (n_samples, n_axes), float32
        The points.
    rows : Tensor of shape (n_rows,), int64
        Indices of those whose nearest are asked for.
    count : int
        How many, the point itself counted.

    Returns
    -------
    indices : Tensor of shape (n_rows, count), int64
        The nearest, in no particular order but for the point itself, which is the first.
    """
    part = max(count, block_bytes(points.device) // (4 * len(rows)))
    return _candidates(points, rows, count, middle(points), part, torch.float32)[0]


def _direct_squares(X, rows, candidates):
    gathered = X.index_select(0, candidates.flatten()).unflatten(0, candidates.shape)
    return gathered.sub_(X[rows, None]).square_().sum(dim=2)


def _candidates(X, rows, count, centre, part, dtype, unit=None):
    """The `count` points nearest to each row by the expanded square, itself included.

    Then a bound of the squared distances of all others, up to rounding, and the lengths of the rows.
    """
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    queries = X[rows].to(wide) - centre
    starts = range(0, len(X), part)
    # One tensor for all parts: small ones that are kept between large ones that are freed would splinter the memory.
    values = queries.new_full((len(rows), len(starts), count), torch.inf)
    indices = torch.empty(values.shape, dtype=torch.int64, device=X.device)
    for place, start in enumerate(starts):
        points = X[start : start + part].to(wide) - centre
        expanded = _expanded_squares(queries, points, dtype, unit)
        own = rows - start
        is_here = (own >= 0) & (own < len(points))
        own = own.clamp_(0, len(points) - 1)[:, None]
        expanded.scatter_(1, own, torch.where(is_here[:, None], -torch.inf, expanded.gather(1, own)))
        n_kept = min(count, len(points))
        nearest = expanded.topk(n_kept, dim=1, largest=False)
        values[:, place, :n_kept] = nearest.values
        indices[:, place, :n_kept] = nearest.indices + start
    nearest = values.flatten(1).topk(count, dim=1, largest=False)
    squares = queries.square().sum(dim=1)
    bound = nearest.values.amax(dim=1) + squares
    return indices.flatten(1).gather(1, nearest.indices), bound.float(), squares.sqrt().float()


def _expanded_squares(queries, points, dtype, unit):
    """|y|² - 2xy of all pairs, the products in the precision asked for."""
    squares = torch.linalg.vector_norm(points, dim=1).square()
    if dtype != torch.float16:
        return torch.addmm(squares, queries, points.T, alpha=-2)
    # The greatest number is brought to 1, since float16 ends at 65504.
    scale = unit.clamp(min=torch.finfo(torch.float32).tiny)
    return torch.addcmul(
        squares, _half_products((queries / scale).half(), (points / scale).half()), -2 * scale.square()
    )


def _half_products(queries, points):  # only on a GPU
    return torch.mm(queries, points.T, out_dtype=torch.float32)


def _error(width, reach, dtype, unit):
    """The most by which an expanded square may be wrong, where both rows together are at most as long as `reach`."""
    exact_products = torch.get_float32_matmul_precision() == "highest"  # else they may be TF32 or bfloat16
    share = (torch.finfo(torch.float32).eps if exact_products else 2**-7) * (4 + width**0.5)
    if dtype != torch.float16:
        return share * reach.square()
    # A number is rounded by 2**-11 of itself, and below 2**-14 of the unit by 2**-25 of that. The errors in 2xy add up
    # to at most 2**-9 |x||y|, where 4 |x||y| <= (|x| + |y|)², and to 2**-24 width**½ (|x| + |y|) of the unit.
    return (share + 2**-11 + 2**-20) * reach.square() + 2**-24 * width**0.5 * unit * reach


def exact_by_scikit_learn(X, queries, n_neighbors, metric, metric_kwds, n_jobs):
    """Find the neighbours of dense or sparse rows in any metric.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array} of shape (n_samples, n_features), float32
        All rows.
    queries : {ndarray, csr_matrix, csr_array} of shape (n_queries, n_features), float32
        The rows whose neighbours are asked for.
    n_neighbors : int
        Number of neighbours, the row itself counted.
    metric : {"euclidean", "manhattan", "chebyshev", "minkowski"}
        The distance between rows.
    metric_kwds : dict
        Arguments of the metric.
    n_jobs : int or None
        Threads, in joblib's counting.

    Returns
    -------
    indices : ndarray of shape (n_queries, n_neighbors), int64
        Neighbours by rising distance.
    distances : ndarray of shape (n_queries, n_neighbors), float
        Their distances.
    """
    search = NearestNeighbors(
        n_neighbors=n_neighbors, algorithm="brute", metric=metric, p=metric_kwds.get("p", 2), n_jobs=n_jobs
    )
    distances, indices = search.fit(X).kneighbors(queries)
    if metric == "euclidean":  # taken by scikit-learn from the expanded square, which puts duplicates apart
        distances = _direct_distances(queries, X, indices)
        order = np.argsort(distances, axis=1, kind="stable")
        indices, distances = (np.take_along_axis(array, order, axis=1) for array in (indices, distances))
    return indices, distances


def _direct_distances(queries, X, indices, n_rows=1024):
    distances = np.empty(indices.shape, dtype=np.float32)
    for start in range(0, len(indices), n_rows):
        block = indices[start : start + n_rows]
        rows = np.repeat(np.arange(start, start + len(block)), indices.shape[1])
        difference = queries[rows] - X[block.ravel()]
        squares = difference.multiply(difference) if sp.issparse(difference) else difference**2
        distances[start : start + n_rows] = np.sqrt(np.asarray(squares.sum(axis=1))).reshape(block.shape)
    return distances
