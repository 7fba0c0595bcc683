"""What a fit learns from: its rows, what is known of them, and which of them are mapped and kept."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from .containers import as_numpy, refuse_masked, stacked
from .neighbors import unique_rows
from .novelty import merged_references, reference_rows
from .supervision import labels_with_unknown
from .terms import checked_landmarks
from .typing import FloatArray


@dataclass(frozen=True, eq=False)
class FitData:
    """What a fit learns from.

    Attributes
    ----------
    rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    targets : array-like of shape (n_samples,) or (n_samples, n_targets), or None
        Their targets.
    mapped : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_mapped, n_features)
        The rows of `embedding_`.
    of_mapped : slice or ndarray of shape (n_mapped,), int
        Which of the rows each of them is.
    references : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
        The rows that are kept with the model.
    n_samples_seen : int
        Number of rows fitted so far, those of this fit included.
    precomputed_distances : {array-like, sparse matrix} of shape (n_samples, n_samples) or None
        Between the rows.
    landmarks : ndarray of shape (n_samples, n_components), float32, or None
        Where rows should lie, NaN where they are free.
    """

    rows: Any
    targets: Any
    mapped: Any
    of_mapped: slice | NDArray[np.integer]
    references: Any
    n_samples_seen: int
    precomputed_distances: Any = None
    landmarks: FloatArray | None = None

    @classmethod
    def of_rows(cls, parameters, X, y, precomputed_distances=None, landmark_positions=None):
        """Gather what a `fit` learns from.

        Parameters
        ----------
        parameters : ParametricUMAP
            Its parameters.
        X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
            Validated rows.
        y, precomputed_distances, landmark_positions
            As `fit` takes them.

        Returns
        -------
        data : FitData
            With every row once, if ``unique=True``.

        Raises
        ------
        ValueError
            If something given is not for these rows.
        """
        refuse_masked(precomputed_distances=precomputed_distances, landmark_positions=landmark_positions)
        distances, landmarks = as_numpy(precomputed_distances), as_numpy(landmark_positions)
        if parameters.unique:
            rows, y, of_mapped = _each_once(parameters, X, as_numpy(y), distances, landmarks)
        else:
            rows, y, of_mapped = X, as_numpy(y), slice(None)
        if landmarks is not None:
            landmarks = checked_landmarks(landmarks, X.shape[0], parameters.n_components)
        kept = {"references": reference_rows(rows), "n_samples_seen": rows.shape[0]}
        return cls(rows, y, X, of_mapped, **kept, precomputed_distances=distances, landmarks=landmarks)

    def added_to(self, parameters, references, n_samples_seen, positions):
        """Put the rows of a fit before, which are landmarks where they lie, in front of these.

        Parameters
        ----------
        parameters : ParametricUMAP
            Its parameters.
        references : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
            The rows that were kept.
        n_samples_seen : int
            Number of rows fitted so far.
        positions : ndarray of shape (n_references, n_components), float32
            Where the references lie.

        Returns
        -------
        data : FitData
            Of all these rows.

        Raises
        ------
        ValueError
            If the targets are no labels.
        """
        added, targets, n_known = self.rows, self.targets, references.shape[0]
        if parameters.target_metric is not None:
            targets = labels_with_unknown(targets, n_known, parameters.target_metric)
        of_mapped = np.arange(added.shape[0])[self.of_mapped]
        free = np.full((added.shape[0], positions.shape[1]), np.nan, dtype=np.float32)
        return replace(
            self,
            rows=stacked(references, added),
            targets=targets,
            of_mapped=n_known + of_mapped,
            references=merged_references(references, n_samples_seen, added),
            n_samples_seen=n_samples_seen + added.shape[0],
            landmarks=np.vstack([positions, free]),
        )


def _each_once(parameters, X, y, precomputed_distances, landmark_positions):
    """Every row once, with the target of its first copy; and which of these each row is."""
    given = {"precomputed_distances": precomputed_distances, "landmark_positions": landmark_positions}
    given |= {"precomputed_knn": parameters.precomputed_knn}
    given |= {"init": None if isinstance(parameters.init, str) else parameters.init}
    for name, of_rows in given.items():
        if of_rows is not None:
            raise ValueError(f"unique=True changes the rows, for which {name} is then not meant.")
    first, position = unique_rows(X)
    if parameters.target_metric is not None and y is not None:
        check_consistent_length(X, y)
        y = _safe_indexing(y, first)
    if len(first) < 2 and not hasattr(parameters, "encoder_"):
        raise ValueError("unique=True needs at least two rows that differ; all rows of X are equal.")
    return X[first], y, position
