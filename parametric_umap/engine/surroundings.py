"""Where the engine runs: the device, its precision, and torch's global settings, which are left as they were found."""

import os
from contextlib import ExitStack, contextmanager
from threading import Lock, local

import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits

# The largest block from which glibc learns.
KEPT_BYTES = 2**25 - 2**16
ALLOWED_DEVICES = "'auto', 'cpu', 'cuda', 'cuda:<index>', 'mps' or a torch.device of these"
# torch's number of threads as it is outside of `limited_threads`, once for each thread that is within; and the limit of
# each thread.
_threads_outside: list[int] = []
_within = local()
_lock = Lock()


def resolve_device(device):
    """Turn the parameter `device` into a device that is there.

    Parameters
    ----------
    device : str or torch.device
        "auto" takes CUDA where there is one, else the CPU.

    Returns
    -------
    device : torch.device
        With its index, where it is a CUDA device.

    Raises
    ------
    ValueError
        If `device` names no device that is allowed, or one that this machine lacks.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(device)
    except RuntimeError:
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"device={str(device)!r} is not a device for this estimator; allowed are {ALLOWED_DEVICES}.")
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = resolved.index if resolved.index is not None else torch.cuda.current_device() if count else 0
        if not 0 <= index < count:
            raise ValueError(f"device={str(device)!r} was asked for, but torch finds {count} CUDA device(s) here.")
        return torch.device("cuda", index)
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' was asked for, but torch finds no MPS device here.")
    return torch.device(resolved.type)


def device_or_cpu(device):
    """Take the CPU where a model's device is missing.

    Parameters
    ----------
    device : torch.device
        The device that a model was fitted on, perhaps on another machine.

    Returns
    -------
    device : torch.device
        The same, or the CPU.
    """
    try:
        return resolve_device(device)
    except ValueError:
        return torch.device("cpu")


def new_generator(device, seed):
    """Make a source of random numbers for the engine.

    Parameters
    ----------
    device : torch.device
        Where they are wanted.
    seed : int
        The same seed gives the same numbers on the same device.

    Returns
    -------
    generator : torch.Generator
        On the device; on the CPU for MPS, which has no float64 to draw edges with.
    """
    return torch.Generator("cpu" if device.type == "mps" else device).manual_seed(seed)


def body_precision(device, gap):
    """Choose what the default network's hidden layers are multiplied in.

    Parameters
    ----------
    device : torch.device
        Where the network is trained.
    gap : float
        What `feature_gap` measured: distance between neighbours, in each feature, as a share of the data's extent.

    Returns
    -------
    precision : {torch.bfloat16, torch.float32}
        bfloat16, with its 8 binary digits, where the device multiplies it faster and it still tells neighbours apart.
    """
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        faster = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    else:
        faster = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if faster and gap > 2**-6 else torch.float32


def allotted_threads(n_jobs=None):
    """Find how many threads may be taken on the CPU, so that workers that run side by side leave each other theirs.

    Parameters
    ----------
    n_jobs : int or None, default=None
        How many are asked for, in joblib's counting.

    Returns
    -------
    n_threads : int or None
        None, where nothing is asked for, leaves the settings of torch, numba and OpenMP alone. In a worker of joblib's,
        such as a search has, it is always a number, and at most the worker's share: what ``OMP_NUM_THREADS`` says,
        which joblib sets for its processes, else 1.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    """
    asked = None if n_jobs is None else int(effective_n_jobs(n_jobs))  # threadpoolctl takes no numbers of numpy
    if not get_active_backend()[0].nesting_level:
        return asked
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    share = min(max(int(said), 1) if said.isdecimal() else 1, torch.get_num_threads())
    return share if asked is None else min(asked, share)


@contextmanager
def limited_threads(n_threads):
    """Set the number of threads of torch and of OpenMP for the thread that runs, and put it back afterwards.

    Parameters
    ----------
    n_threads : int or None
        None leaves it alone.
    """
    if n_threads is None:
        yield
        return
    around = getattr(_within, "limit", None)  # where a limit is set within another, as by `embed` within a fit
    with _lock:
        # A new thread takes what any other has set last, when it first asks: so it asks before it sets.
        found = torch.get_num_threads()
        if around is None:
            _threads_outside.append(_threads_outside[0] if _threads_outside else found)
        torch.set_num_threads(n_threads)
    _within.limit = n_threads
    try:
        with threadpool_limits(n_threads, user_api="openmp"):  # scikit-learn's own
            yield
    finally:
        _within.limit = around
        with _lock:
            torch.set_num_threads(_threads_outside.pop() if around is None else around)


@contextmanager
def surroundings(device, n_threads=None, seed=None):
    """Set torch up for training, and put everything back afterwards.

    Parameters
    ----------
    device : torch.device
        The device whose random state is borrowed. What was taken of a CUDA device's memory is given back to whoever
        shares it.
    n_threads : int or None, default=None
        Number of threads of torch and of OpenMP on the CPU; None leaves it alone.
    seed : int or None, default=None
        Seed for torch's global random state, for modules that draw from it, such as dropout; None does not touch it.
    """
    # The C library gives freed memory back to the system, to be had anew page by page, unless it has seen a larger
    # block freed: without this the loss of a batch takes twice as long.
    torch.empty(KEPT_BYTES, dtype=torch.uint8)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(limited_threads(n_threads))
        if device.type == "cuda":
            stack.callback(torch.cuda.empty_cache)
        if seed is not None:
            stack.callback(torch.set_rng_state, torch.get_rng_state())
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":  # only on a GPU
                stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
                torch.cuda.default_generators[device.index].manual_seed(seed)
            elif device.type == "mps":  # only on a GPU
                stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
                torch.mps.manual_seed(seed)
        yield
