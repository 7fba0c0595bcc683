"""Files of tensors and JSON in the safetensors format, whole or refused: no pickle, so reading one runs no code."""

import json
import os
from hashlib import blake2b

import numpy as np

from .atomic import replacing


def write_tensors(path, metadata, tensors):
    """Write tensors and what is said of them, with a checksum of all.

    Parameters
    ----------
    path : str or path-like
        The file.
    metadata : dict of {str: str}
        What is said of them.
    tensors : dict of {str: ndarray}
        The tensors.
    """
    safetensors = imported_safetensors()
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        safetensors.numpy.save_file(tensors, temporary, metadata | {"checksum": _checksum(metadata, tensors)})


def read_tensors(path, kind, metadata_format, version):
    """Read what `write_tensors` has written, by this version of the package or one before.

    Parameters
    ----------
    path : str or path-like
        The file.
    kind : str
        What errors say that it should be.
    metadata_format : str
        What its metadata must call its format.
    version : int
        The last version of the format that is known.

    Returns
    -------
    metadata : dict of {str: str}
        What is said of the tensors, but for the checksum.
    tensors : dict of {str: ndarray}
        The tensors.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or is of a later version.
    """
    safetensors = imported_safetensors()
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        raise ValueError(f"{path} is not {kind}: {error}") from error
    if metadata.get("format") != metadata_format:
        raise ValueError(f"{path} is not {kind}.")
    of_file = metadata.get("format_version", "")
    if of_file.isdecimal() and int(of_file[:9]) > version:
        raise ValueError(f"{path} was written by version {metadata.get('version')}, which is later than this one.")
    checksum = metadata.pop("checksum", None)  # files of before this check have none
    if checksum is not None and checksum != _checksum(metadata, tensors):
        raise ValueError(f"{path} is damaged: it is not what was saved, by its checksum.")
    return metadata, tensors


def _checksum(metadata, tensors):
    """A hash of all that a file says."""
    seen = blake2b(digest_size=16)
    for name, value in sorted(metadata.items()):
        seen.update(json.dumps([name, value]).encode())
    for name, tensor in sorted(tensors.items()):
        seen.update(json.dumps([name, tensor.dtype.str, tensor.shape]).encode())
        seen.update(memoryview(tensor.reshape(-1).view(np.uint8)))
    return seen.hexdigest()


def imported_safetensors():
    """Import the package safetensors, or say how to install it."""
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "save, load and checkpoint need safetensors: pip install 'torch-parametric-umap[save]'."
        ) from error
    return safetensors
