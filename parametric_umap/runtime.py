"""Where and how a fit runs: its device, its threads, its seeds, and what it may look up."""

import re
from contextlib import ExitStack
from typing import Any
from warnings import warn

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from .caching import cached
from .engine import new_generator, placed_rows, resolve_device, torch_settings
from .on_device import OnDevice
from .threads import allotted_threads

# How torch, and the libraries that it calls, say that a GPU's memory is full.
FULL = re.compile("out of memory|ALLOC_FAILED|CUSOLVER_STATUS_INTERNAL_ERROR|CUBLAS_STATUS_NOT_INITIALIZED")

FULL_HOST = re.compile(r"DefaultCPUAllocator.* (\d+) bytes")


class Runtime:
    """What a fit runs on. Within it torch is set up for the fit; afterwards everything is as it was.

    Parameters
    ----------
    device : str or torch.device
        As `ParametricUMAP` takes it; "auto" is where CUDA is, else the CPU.
    n_jobs : int or None
        Number of threads on the CPU, in joblib's counting.
    memory : str, joblib.Memory or None
        Where results of stages are kept.
    random_state : int, RandomState or None
        Seed of all seeds; one number is drawn of a RandomState.
    seeds_torch : bool, default=False
        Whether torch's global random state is seeded, too, for modules that draw from it.
    base_seed : int or None, default=None
        The seed of a fit that is gone on with, instead of one that is drawn.

    Attributes
    ----------
    device : torch.device
        Where the fit computes.
    base_seed : int
        The seed of all seeds.
    n_threads : int or None
        Number of threads on the CPU; None leaves the settings of torch, numba and OpenMP alone.

    Raises
    ------
    ValueError
        If there is no such device, or a parameter is out of its range.
    MemoryError, torch.OutOfMemoryError
        At the end, if the device had no room for the fit.
    """

    def __init__(self, device, *, n_jobs=None, memory=None, random_state=None, seeds_torch=False, base_seed=None):
        self.device = resolve_device(device)
        self.n_threads = allotted_threads(n_jobs)
        try:
            self.memory = check_memory(memory)
        except OSError as error:
            raise ValueError(f"memory={memory!r} is no folder that results can be kept in: {error}") from error
        self.is_seeded = random_state is not None
        random_state = check_random_state(random_state) if self.is_seeded else np.random.RandomState()
        drawn = random_state.randint(np.iinfo(np.int32).max)
        self.base_seed = drawn if base_seed is None else base_seed
        self._seeds_torch = seeds_torch

    def __enter__(self):
        self._settings = ExitStack()
        seed = self.seed("modules") if self._seeds_torch else None
        self._settings.enter_context(torch_settings(self.device, self.n_threads, seed))
        return self

    def __exit__(self, error_type, error, traceback):
        self._settings.close()
        if isinstance(error, RuntimeError) and (full := FULL_HOST.search(str(error))):
            raise MemoryError(f"there was no room for another {int(full[1]) / 2**20:.3g} MiB of memory.") from error
        if error is not None and self._is_full(error):
            raise torch.OutOfMemoryError(
                f"{self.device} has no room for this fit: {str(error).splitlines()[0]} Free some of its memory, lower "
                "batch_size or hidden_layer_sizes, or take device='cpu'."
            ) from error

    def seed(self, name: str) -> int:
        """Draw a seed of its own for everything that has a name, whatever else is drawn."""
        return int(np.random.SeedSequence([self.base_seed, *name.encode()]).generate_state(1)[0]) // 2

    def generator(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """Make a source of random numbers from the seed of a name."""
        return new_generator(torch.device(device), self.seed(name))

    def place(self, X: Any) -> Any:
        """Put dense rows of the host on the device, once for all stages, if it takes them."""
        return self.with_room(placed_rows, X, device=self.device)

    def run(self, stage: Any, *arguments: Any, metrics: tuple = (), **settings: Any) -> Any:
        """Run a stage of the fit, or look its result up; on the host, where the device has no room for it.

        Parameters
        ----------
        stage : callable
            A function of a module.
        *arguments, **settings
            What it takes.
        metrics : tuple of (str or callable), default=()
            The distances that it measures.

        Returns
        -------
        result : object
            What it gives, on the device.
        """
        stage = cached(stage, self.memory, *metrics, seeded=self.is_seeded)
        return _moved(self.with_room(stage, *arguments, **settings), self.device)

    def with_room(self, function: Any, *arguments: Any, **settings: Any) -> Any:
        """Call a function; if the device has no room for it, call it anew on the host, with a warning."""
        try:
            return function(*arguments, **settings)
        except RuntimeError as error:
            if not self._is_full(error):
                raise
        torch.cuda.empty_cache()
        name = getattr(function, "__name__", "a stage")
        warn(f"{self.device} has no room for {name}, which runs on the CPU.", RuntimeWarning, stacklevel=2)
        settings |= {"device": torch.device("cpu")} if "device" in settings else {}
        return function(*(_moved(argument, "cpu") for argument in arguments), **settings)

    def _is_full(self, error):
        full = isinstance(error, torch.OutOfMemoryError) or (
            isinstance(error, RuntimeError) and FULL.search(str(error))
        )
        return self.device.type != "cpu" and bool(full)


def _moved(value, device):
    return value.to(device) if isinstance(value, torch.Tensor | OnDevice) else value
