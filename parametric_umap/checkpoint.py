"""How far a fit has come, in a file: the same fit goes on from there after it was killed, to the same bits."""

import inspect
import json
import os
import time
from hashlib import blake2b
from pathlib import Path
from pickle import PicklingError

import joblib
import numpy as np
import scipy.sparse as sp
import torch

from .atomic import remove_remains
from .containers import as_numpy
from .graph import Graph
from .neighbors import Neighbors
from .tensor_file import imported_safetensors, read_tensors, write_tensors

FORMAT = "parametric_umap.checkpoint"
FORMAT_VERSION = 1
# Seconds of training between two writes, at least, and how many times what a write takes.
SECONDS = 10
TIMES_A_WRITE = 100
OF_TRAINING = "training."  # before the names of its tensors
# Parameters that change nothing of what is fitted.
IRRELEVANT = {"checkpoint", "memory", "n_jobs", "report_interval", "verbose"}
# Values of stages that are several tensors.
KINDS = {"Neighbors": Neighbors, "Graph": Graph}


class Checkpoint:
    """The values of a fit's stages so far, and the state of its training, kept in a file.

    Parameters
    ----------
    path : str, path-like or None
        The file; with None nothing is kept.
    fingerprint : callable
        Gives the digests of all that decides what the fit comes to, by their names. It is not called if nothing is
        kept.

    Attributes
    ----------
    seed : int or None
        The seed of the fit that is gone on with.

    Raises
    ------
    ValueError
        If the file is damaged, is no checkpoint, or is one of another fit; the message says what differs.
    """

    def __init__(self, path, fingerprint):
        self.path = None if path is None else Path(path)
        self.kept, self.tensors = {"stages": {}}, {}
        if self.path is None:
            return
        imported_safetensors()
        if self.path.is_dir() or not self.path.absolute().parent.is_dir():
            raise ValueError(f"checkpoint={os.fspath(path)!r} must be a file in a folder that is there.")
        self.kept["fingerprint"] = fingerprint()
        self.written, self.seconds_of_a_write = time.perf_counter(), 0.0
        if self.path.exists():
            self._read()

    @property
    def seed(self):
        return self.kept.get("seed")

    def keep_seed(self, seed):
        """Keep the seed of the fit, which may have been drawn for it."""
        self.kept["seed"] = seed

    def stage(self, name, find, *arguments):
        """Find the value of a stage, or take it from the file.

        Parameters
        ----------
        name : str
            What the stage is called.
        find : callable
            Gives its value: Neighbors, a Graph, or a Tensor.
        *arguments
            What it is called with, the last being the `Runtime` of the fit.

        Returns
        -------
        value : Neighbors, Graph or Tensor
            On the device of the fit.
        """
        device = arguments[-1].device
        kind = self.kept["stages"].get(name)
        if kind is not None:
            if kind == "Tensor":
                return torch.from_numpy(self.tensors[f"{name}.0"]).to(device)
            of = KINDS[kind]
            return of.of_arrays(*(self.tensors[f"{name}.{i}"] for i in range(len(of.dtypes))), device=device)
        value = find(*arguments)
        if self.path is not None:
            arrays = (as_numpy(value),) if isinstance(value, torch.Tensor) else value.arrays()
            self.tensors |= {f"{name}.{i}": array for i, array in enumerate(arrays)}
            self.kept["stages"][name] = type(value).__name__
            self._write()
        return value

    def resume(self, training):
        """Put training where it was."""
        if "training" in self.kept:
            kept = {key: x for key, x in self.tensors.items() if key.startswith(OF_TRAINING)}
            state = {key.removeprefix(OF_TRAINING): x for key, x in kept.items()}
            training.load_state(self.kept["training"], {key: torch.from_numpy(x.copy()) for key, x in state.items()})

    def after_epoch(self, training):
        """Keep the state of training, if that has not been done for some seconds."""
        if self.path is None:
            return
        if time.perf_counter() - self.written > max(SECONDS, TIMES_A_WRITE * self.seconds_of_a_write):
            self.kept["training"], state = training.state()
            of_stages = {key: x for key, x in self.tensors.items() if not key.startswith(OF_TRAINING)}
            self.tensors = of_stages | {f"{OF_TRAINING}{key}": as_numpy(x) for key, x in state.items()}
            self._write()

    def remove(self):
        """The fit is over: there is nothing left to go on with."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            remove_remains(self.path.resolve())

    def _write(self):
        from . import __version__

        start = time.perf_counter()
        metadata = {"format": FORMAT, "format_version": str(FORMAT_VERSION), "version": __version__}
        write_tensors(self.path, metadata | {"kept": json.dumps(self.kept)}, self.tensors)
        self.written = time.perf_counter()
        self.seconds_of_a_write = self.written - start

    def _read(self):
        metadata, tensors = read_tensors(self.path, "a checkpoint of a fit", FORMAT, FORMAT_VERSION)
        kept, ours = json.loads(metadata["kept"]), self.kept["fingerprint"]
        theirs = kept["fingerprint"]
        differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        if differing:
            raise ValueError(
                f"checkpoint={os.fspath(self.path)!r} is of another fit, of which {', '.join(sorted(differing))} "
                "differ; remove the file, or give another name."
            )
        self.kept, self.tensors = kept, tensors


def fingerprint(parameters, data, device, previous=None):
    """Digest all that decides what a fit comes to.

    Parameters
    ----------
    parameters : ParametricUMAP
        Its parameters.
    data : FitData
        What it learns from.
    device : str or torch.device
        Where it is asked to run.
    previous : Model or None, default=None
        The networks that it goes on from.

    Returns
    -------
    digests : dict of {str: str}
        By what errors call it.
    """
    from . import __version__

    of_fit = {
        "X": data.rows,
        "y": data.targets,
        "precomputed_distances": data.precomputed_distances,
        "landmark_positions": data.landmarks,
        "the fit before": None if previous is None else list(previous),
        "the device": str(device),
        "the number of threads": torch.get_num_threads() if parameters.n_jobs is None else parameters.n_jobs,
        "the versions of the packages": (__version__, torch.__version__, np.__version__),
    }
    values = {name: value for name, value in parameters.get_params(deep=False).items() if name not in IRRELEVANT}
    return {name: _digest(name, value) for name, value in (values | of_fit).items()}


def _digest(name, value):
    seen = blake2b(digest_size=16)
    try:
        _feed(seen, value)
    except (PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"checkpoint cannot tell this {name} from another: {error}") from error
    return seen.hexdigest()


def _feed(seen, value):
    """Let a hash see a value: arrays by their bytes, modules by their weights, functions by their code."""
    value = getattr(value, "py_func", value)  # what numba has compiled
    seen.update(type(value).__qualname__.encode())
    if isinstance(value, torch.nn.Module):
        seen.update(repr(value).encode())
        _feed(seen, value.state_dict())
    elif isinstance(value, np.random.RandomState):
        _feed(seen, value.get_state())
    elif sp.issparse(value):
        _feed(seen, [value.shape, value.data, value.indices, value.indptr])
    elif isinstance(value, torch.Tensor | np.ndarray) and as_numpy(value).dtype != object:
        array = np.ascontiguousarray(as_numpy(value))
        seen.update(f"{array.dtype.str} {array.shape}".encode())
        seen.update(memoryview(array.reshape(-1).view(np.uint8)))
    elif isinstance(value, dict):
        _feed(seen, list(value.items()))
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(seen, item)
    elif inspect.isroutine(value) or inspect.isclass(value):
        code = getattr(value, "__code__", None)
        seen.update(f"{value.__module__} {value.__qualname__} {code and (code.co_code, code.co_names)}".encode())
        _feed(seen, [const for const in code.co_consts if not inspect.iscode(const)] if code else [])
        _feed(seen, [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()])
    else:
        seen.update(joblib.hash(value).encode())
