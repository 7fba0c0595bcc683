"""Rows that are read in blocks and never held as a whole: Dask arrays and data frames, Zarr arrays, HDF5 datasets.

A fit needs rows in any order, so it has them copied, block by block, to a file that it maps into memory. What is asked
of a Dask array afterwards is a Dask array again, whose blocks are computed when they are needed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp

from .typing import FloatArray

BLOCK_BYTES = 2**26  # of rows that are read at a time, where chunks are smaller


def is_read_in_blocks(X: Any) -> bool:
    """Say whether rows are of a kind that is read in blocks.

    Parameters
    ----------
    X : object
        The rows.

    Returns
    -------
    in_blocks : bool
        True for Dask's arrays and data frames, and for arrays that know of chunks, as those of Zarr and HDF5 do.
    """
    known = all(hasattr(X, name) for name in ("chunks", "shape", "dtype", "__getitem__"))
    return _is_dask(X) or (known and not hasattr(X, "coords"))  # which xarray's have


@contextmanager
def rows_in_a_file(X: Any) -> Iterator[Any]:
    """Copy rows that are read in blocks to a temporary file.

    Parameters
    ----------
    X : object
        The rows; such as are not read in blocks stay as they are.

    Yields
    ------
    X : object
        A memory map of shape (n_samples, n_features), in float64 where the rows are, else in float32; integers are
        float64. A data frame of pandas around it, where the rows have names of features.

    Raises
    ------
    OSError
        If the folder for temporary files, which the environment variable ``TMPDIR`` names, has no room for them.
    """
    if not is_read_in_blocks(X):
        yield X
        return
    names, X = getattr(X, "columns", None), _as_array(X)
    if len(X.shape) != 2:
        raise ValueError(f"X must have two dimensions, rows and features; its shape is {X.shape}.")
    if X.dtype.kind not in "biufO" or sp.issparse(getattr(X, "_meta", None)):
        raise ValueError(f"X must be dense and of real numbers to be read in blocks; it is {X!r}.")
    dtype = np.dtype(np.float32 if X.dtype in (np.float16, np.float32) else np.float64)
    with TemporaryDirectory(prefix="parametric_umap-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "rows"
        try:
            with open(file, "wb") as written:
                for block in blocks_of(X):
                    written.write(np.ascontiguousarray(block, dtype=dtype).data)
        except OSError as error:
            n_bytes = X.shape[0] * X.shape[1] * dtype.itemsize
            raise OSError(
                f"the rows of X take {n_bytes / 1e9:.2g} GB in a temporary file, which cannot be written to "
                f"{Path(folder).parent}: {error}; set TMPDIR to a folder with more room."
            ) from error
        rows = np.memmap(file, dtype=dtype, mode="r", shape=X.shape) if 0 not in X.shape else np.empty(X.shape, dtype)
        yield _named(rows, names)


def blocks_of(X: Any) -> Iterator[Any]:
    """Read rows block by block.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        The rows.

    Yields
    ------
    block : ndarray of shape (n_rows, n_features)
        The next rows, in the units that `X` stores them in: whole chunks.
    """
    if _is_dask(X):
        for start, size in zip(np.cumsum((0, *X.chunks[0]))[:-1], X.chunks[0], strict=True):
            yield np.asarray(X[start : start + size])
        return
    chunk = X.chunks[0] if X.chunks else 1  # a dataset of HDF5 may lie in one piece
    n_rows = max(1, BLOCK_BYTES // (X.dtype.itemsize * max(1, X.shape[1])) // chunk) * chunk
    for start in range(0, X.shape[0], n_rows):
        yield np.asarray(X[start : start + n_rows])


def by_blocks(function: Callable[[Any], FloatArray], X: Any, *, n_columns: int | None) -> Any:
    """Apply a function of rows to the rows of every block.

    Parameters
    ----------
    function : callable
        Takes an ndarray of shape (n_rows, n_features) and gives one of shape (n_rows, n_columns) or (n_rows,), float32.
        With Dask's distributed scheduler it must pickle.
    X : object
        Rows that are read in blocks.
    n_columns : int or None
        How many columns it gives; None if it gives one number for each row.

    Returns
    -------
    results : {Dask array, ndarray} of shape (n_samples, n_columns) or (n_samples,), float32
        Lazy, and in the blocks of the rows, for Dask.
    """
    if not _is_dask(X):
        return np.concatenate([function(block) for block in blocks_of(X)])
    names, X = getattr(X, "columns", None), _as_array(X)
    of_none = np.empty((0,) if n_columns is None else (0, n_columns), dtype=np.float32)
    how: dict[str, Any] = {"dtype": np.float32, "meta": of_none, "token": function.__name__.strip("_")}
    if n_columns is None:
        how |= {"drop_axis": 1, "chunks": X.chunks[:1]}
    else:
        how |= {"chunks": (X.chunks[0], (n_columns,))}
    return X.rechunk({1: -1}).map_blocks(partial(_of_block, function, names, of_none), **how)


def _of_block(function, names, of_none, block):
    return function(_named(block, names)) if len(block) else of_none


def _named(rows, names):
    """Rows with the names of their features, if they have any."""
    if names is None:
        return rows
    import pandas as pd  # a data frame of Dask's is made of its

    return pd.DataFrame(rows, columns=names, copy=False)


def in_blocks_of(X: Any, result: FloatArray) -> Any:
    """Answer in the blocks of a question.

    Parameters
    ----------
    X : object
        What the user gave.
    result : ndarray of shape (n_samples, n_columns)
        The answer to it.

    Returns
    -------
    result : {Dask array, ndarray} of shape (n_samples, n_columns)
        A Dask array of the same blocks of rows, if `X` is one.
    """
    if not _is_dask(X):
        return result
    import dask.array as da  # whoever has a Dask array has Dask

    return da.from_array(result, chunks=(_as_array(X).chunks[0], -1))


def _is_dask(X):
    return type(X).__module__.partition(".")[0] in ("dask", "dask_expr")


def _as_array(X):
    """A Dask array whose blocks are of known length; other arrays as they are."""
    if not _is_dask(X):
        return X
    if hasattr(X, "to_dask_array"):
        return X.to_dask_array(lengths=True)
    return X.compute_chunk_sizes() if np.isnan(X.shape[0]) else X
