"""The containers that rows come in, beside those of NumPy and SciPy, and that an embedding goes out in.

Torch tensors are always taken, and so are arrays of the array API standard (https://data-apis.org/array-api) that lie
on a CUDA device, such as CuPy's; those on the host where scikit-learn's ``array_api_dispatch`` is on. What lies on a
CUDA device stays there, as a tensor; all else is looked at as an ndarray.
"""

import sys
from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
import torch
from sklearn import config_context, get_config
from sklearn.utils import assert_all_finite
from sklearn.utils._array_api import get_namespace

CPU = 1  # DLPack's name of the host


def checked_rows(X, check, *, input_name="X", estimator_name=None):
    """Make sure that rows are some, whatever holds them.

    Parameters
    ----------
    X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
        The rows. Gradients of a tensor are not followed.
    check : callable
        Checks array-likes and sparse matrices: scikit-learn's ``check_array`` or ``validate_data``, with its arguments.
    input_name, estimator_name : str
        What errors call the rows, and who refuses them.

    Returns
    -------
    rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        What `check` returned; rows on a CUDA device as a tensor there, in float32 or float64, which is a view of them
        if they are that.

    Raises
    ------
    ValueError
        If `check` refuses such rows, a tensor is not dense or holds no values, or some values are masked.
    """
    refuse_masked(**{input_name: X})
    X = _viewed(X)
    names = {"estimator_name": estimator_name, "input_name": input_name}
    if not isinstance(X, torch.Tensor):
        return _finite(X, check, **names)
    if X.is_meta:
        raise ValueError(f"{input_name} is a tensor on the device 'meta', which holds no values.")
    if X.layout is not torch.strided:
        raise ValueError(f"{input_name} is a {X.layout} tensor; it must be a dense one, or a sparse matrix of SciPy.")
    if not _stays(X) or X.ndim != 2 or X.is_complex():
        return _finite(as_numpy(X), check, **names)
    with config_context(assume_finite=True):
        check(np.broadcast_to(np.float32(0), X.shape))  # the shape alone, which takes no memory
    X = X if X.dtype in (torch.float32, torch.float64) else X.double()
    assert_all_finite(as_numpy(torch.stack(X.aminmax())), **names)
    return X


def refuse_masked(**given):
    """Make sure that no array is one of ``numpy.ma`` with masked values, which would be taken for all others.

    Parameters
    ----------
    **given : object
        Whatever was given, by its name.

    Raises
    ------
    ValueError
        If one is.
    """
    for name, value in given.items():
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):  # those of pandas have words of their own
            raise ValueError(f"{name} has masked values, which nothing here can leave out; fill them first.")


def _finite(X, check, **names):
    """Check rows of the host. Their sum, which takes all threads, says whether each number has to be looked at."""
    if get_config()["assume_finite"]:
        return check(X)
    with config_context(assume_finite=True):
        rows = check(X)
    numbers = rows.data if sp.issparse(rows) else rows
    if not as_tensor(numbers).sum().isfinite():
        assert_all_finite(numbers, **names)
    return rows


def in_container_of(X, result):
    """Answer in the container of a question.

    Parameters
    ----------
    X : object
        What the user gave.
    result : Tensor
        The answer to it.

    Returns
    -------
    result : {ndarray, Tensor, array}
        A tensor, or an array of the standard, if X is one, on the device of X; else an ndarray.
    """
    if isinstance(X, torch.Tensor):
        return result.to(X.device)
    namespace = _standard_namespace(X)
    if namespace is None:
        return as_numpy(result)
    view = _viewed(X)
    answer = namespace.from_dlpack(result.to(view.device if isinstance(view, torch.Tensor) else "cpu"))
    return answer if answer.device == X.device else answer.to_device(X.device)


def as_numpy(given):
    """Bring to the host what is needed there.

    Parameters
    ----------
    given : object
        A tensor or an array of the standard, or anything else.

    Returns
    -------
    taken : object
        An ndarray of such an array, a view where it is on the host; anything else as it is.
    """
    given = _viewed(given)
    if not isinstance(given, torch.Tensor):
        return given
    given = given.cpu()
    return (given.double() if given.dtype == torch.bfloat16 else given).numpy(force=True)


def as_tensor(X):
    """Look at an array as a tensor that shares its memory, and that nobody writes: the array may be read-only.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows.

    Returns
    -------
    rows : Tensor of shape (n_rows, n_features)
        A copy, where torch takes no such strides.
    """
    if min(X.strides, default=0) < 0:
        X = X.copy()
    if not X.flags.writeable:  # torch.from_numpy would warn, once for all
        address = X.__array_interface__["data"][0]
        X = np.asarray(SimpleNamespace(__array_interface__=X.__array_interface__ | {"data": (address, False)}, of=X))
    return torch.from_numpy(X)


def to_tensor(X, device):
    """Copy rows to a dense tensor.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_rows, n_features), float32 or float64
        The rows.
    device : str or torch.device
        Where the tensor is to be.

    Returns
    -------
    rows : Tensor of shape (n_rows, n_features), float32 or float64
        A copy on the device; float64 stays where the device has it.
    """
    if isinstance(X, torch.Tensor):
        return X.to(device, copy=True, memory_format=torch.contiguous_format)
    X = X.toarray() if sp.issparse(X) else np.array(X, order="C")
    return torch.from_numpy(X).to(device, dtype=torch.float32 if torch.device(device).type == "mps" else None)


def device_of(X):
    """Say where rows are.

    Parameters
    ----------
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_rows, n_features)
        The rows.

    Returns
    -------
    device : torch.device
        That of a tensor; the CPU for rows of NumPy and SciPy.
    """
    return X.device if isinstance(X, torch.Tensor) else torch.device("cpu")


def array_namespace(X):
    """The library of an array: torch for tensors, else numpy. What both call the same, both do the same."""
    return torch if isinstance(X, torch.Tensor) else np


def stacked(known, X):
    """Put rows on top of others.

    Parameters
    ----------
    known : {ndarray, csr_matrix, csr_array} of shape (n_known, n_features)
        The rows on top, on the host.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        Those below.

    Returns
    -------
    rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_known + n_samples, n_features)
        All of them, of the type and on the device of those below; sparse if either are.
    """
    if sp.issparse(X) or sp.issparse(known):
        X = as_numpy(X)
        return sp.vstack([known, X]).astype(X.dtype).tocsr()
    if isinstance(X, torch.Tensor):
        return torch.cat([torch.tensor(known, dtype=X.dtype, device=X.device), X])
    return np.vstack([known, X]).astype(X.dtype)


def _viewed(X):
    """A tensor or an array of the standard as a tensor or an ndarray that shares its memory; anything else as it is."""
    if isinstance(X, torch.Tensor):
        return X.detach()
    if _standard_namespace(X) is None:
        return X
    if _is_on_the_host(X):
        return np.from_dlpack(X)
    if min(getattr(X, "strides", None) or [0]) < 0:  # from which torch makes no tensor
        X = X.copy()
    try:
        return torch.from_dlpack(X)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise TypeError(
            f"torch cannot read the {type(X).__module__}.{type(X).__qualname__} on its device ({error}); "
            "bring it to the host as a NumPy array, or make a torch tensor of it."
        ) from error


def _standard_namespace(X):
    """The library of an array of the standard, which is asked for the answer; None for tensors and ndarrays, too.

    scikit-learn must be told to call such libraries, but for arrays that are not on the host, such as CuPy's: as they
    are no NumPy arrays without being copied, there is nothing else that could be meant.
    """
    if isinstance(X, np.ndarray | torch.Tensor) or not hasattr(X, "__dlpack_device__"):
        return None
    if not _is_on_the_host(X):
        return X.__array_namespace__() if hasattr(X, "__array_namespace__") else _module_of(X)
    namespace, is_dispatched = get_namespace(X)
    return namespace if is_dispatched else None


def _is_on_the_host(X):
    return X.__dlpack_device__()[0] == CPU


def _module_of(X):
    return sys.modules[type(X).__module__.partition(".")[0]]


def _stays(tensor):
    """Whether rows are used where they are."""
    return tensor.device.type == "cuda"
