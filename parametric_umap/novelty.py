"""How far a row is from what a map was trained on; a network maps anything somewhere."""

from math import isnan

import numpy as np
import scipy.sparse as sp
import torch

from .containers import as_numpy, device_of, to_tensor
from .encoder import Standardize
from .engine import chunks_on
from .threads import allotted_threads, limited_threads

N_REFERENCES = 2000
REFERENCE_BYTES = 2**21  # so that a model stays small where rows are wide
CHUNK_BYTES = 2**25
FARTHEST = 2.0**50  # in units of the network's input; the squares of more would not be finite
EQUAL = 1e-6  # squares below this share of the rows' own are rounding errors of copies


def reference_rows(X):
    """Choose the fitted rows that are kept with a model, evenly spaced.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The fitted rows.

    Returns
    -------
    rows : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
        A copy of 2,000 of them at most, and of 2 MiB, or 100 rows where these are more.
    """
    n_rows = min(X.shape[0], _most_rows(X))
    return as_numpy(X[np.linspace(0, X.shape[0] - 1, n_rows).astype(int)])


def _most_rows(X):
    return min(N_REFERENCES, max(100, REFERENCE_BYTES // (X.dtype.itemsize * X.shape[1])))


def merged_references(references, n_seen, X):
    """Choose anew among the rows kept so far and those added, in proportion to the rows that each stand for.

    Parameters
    ----------
    references : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
        What was kept of the rows before.
    n_seen : int
        Number of the rows before.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows added.

    Returns
    -------
    rows : {ndarray, csr_array} of shape (n_merged, n_features)
        As many at most as `reference_rows` keeps.
    """
    added = reference_rows(X)
    room = max(references.shape[0], added.shape[0])
    n_added = min(added.shape[0], max(1, round(room * X.shape[0] / (n_seen + X.shape[0]))))
    if references.shape[0] + added.shape[0] <= _most_rows(X) and references.shape[0] == n_seen:
        parts = [references, added]  # all of them
    else:
        n_before = min(references.shape[0], room - n_added)
        parts = [
            rows[np.linspace(0, rows.shape[0] - 1, n).astype(int)]
            for rows, n in ((references, n_before), (added, n_added))
        ]
    if any(sp.issparse(part) for part in parts):
        return sp.vstack(parts).tocsr()
    return np.vstack(parts)


def reference_distance(prepare, references, device):
    """Measure how far the rows kept with a model lie from each other.

    Parameters
    ----------
    prepare, references, device
        As in `novelty`.

    Returns
    -------
    distance : float
        The median distance from a reference to its nearest other one, copies not counted, in units of the network's
        input; 1 where all are equal.
    """
    with torch.inference_mode():
        known = _View.of(prepare, to_tensor(references, device))
        squares = known.squares_to(known).fill_diagonal_(torch.inf)
        copies = squares <= EQUAL * known.squared_lengths()[:, None]
        nearest = squares.masked_fill_(copies, torch.inf).amin(dim=1).sqrt_()
        distance = nearest.masked_fill_(nearest.isinf(), torch.nan).cpu().nanmedian().item()  # the one wait
    return 1.0 if isnan(distance) else distance


def novelty(prepare, X, references, unit, device):
    """Measure how far rows are from the nearest reference, relative to how far these are from each other.

    Distances are Euclidean, in the user's units. Where the encoder sees the rows along their principal axes, so does
    this, and what lies outside of the axes is added as if it were at right angles to that of any other row.

    Parameters
    ----------
    prepare : callable
        Maps a tensor of rows to what the network takes, such as `Standardize`.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows.
    references : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
        What `reference_rows` chose of the fitted ones.
    unit : float
        What `reference_distance` measured of them.
    device : torch.device
        Where it is computed.

    Returns
    -------
    score : Tensor of shape (n_samples,), float32, where X is
        Distance to the nearest reference, divided by the unit: about 1 for a row like those fitted, and the more, the
        less it is like any.
    """
    with limited_threads(allotted_threads()), torch.inference_mode():
        known = _View.of(prepare, to_tensor(references, device))
        n_rows = max(256, CHUNK_BYTES // (4 * max(X.shape[1], references.shape[0])))
        parts = [
            _View.of(prepare, x).squares_to(known).amin(dim=1).clamp_(min=0).sqrt_().div_(unit)
            for _, chunk in chunks_on(X, device)
            for x in chunk.split(n_rows)
        ]
    return torch.cat(parts).to(device_of(X))


class _View:
    """Rows as the network takes them, and the squared length of what it does not see of them."""

    def __init__(self, rows, unseen):
        self.rows = rows
        self.unseen = unseen

    @classmethod
    def of(cls, prepare, x):
        if not isinstance(prepare, Standardize):
            return cls(x.float(), torch.zeros((), device=x.device))
        scaled = prepare.scaled(x).clamp_(-FARTHEST, FARTHEST)
        rows = scaled if prepare.axes is None else scaled @ prepare.axes
        unseen = (scaled.square().sum(dim=1) - rows.square().sum(dim=1)).clamp(min=0)
        return cls(rows, unseen)

    def squared_lengths(self):
        """Squared distances to the mean row."""
        return (self.rows - self.rows.mean(dim=0)).square().sum(dim=1) + self.unseen

    def squares_to(self, other):
        """Squared distances to the rows of another view."""
        origin = other.rows.mean(dim=0)
        ours, theirs = self.rows - origin, other.rows - origin
        squares = torch.addmm(theirs.square().sum(dim=1) + other.unseen, ours, theirs.T, alpha=-2)
        return squares.add_((ours.square().sum(dim=1) + self.unseen)[:, None])
