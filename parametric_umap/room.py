"""How much memory a fit takes, and how much there is: told before hours of work are lost."""

from contextlib import suppress
from itertools import pairwise
from math import inf
from pathlib import Path

# Bytes of working memory for each neighbour of each row, while the graph is made, and for each number of a batch that
# training encodes; at least, so that no fit is refused that would have gone through.
BYTES_OF_NEIGHBOR = 48
BYTES_OF_ACTIVATION = 8
BYTES_OF_ROW_IN_BATCH = 1024
BYTES_OF_STEP = 12
# Address space that a thread takes where the system does not say how much.
BYTES_OF_STACK = 2**23


def available_bytes() -> float:
    """Find how much memory this process may still take.

    Returns
    -------
    n_bytes : float
        The least of what the machine, the control group and the limit of the process leave; infinity where none of
        them is known.
    """
    return max(0, min(_left_of_machine(), _left_of_control_group(), _left_of_limit()))


def check_room(
    n_samples: int, n_neighbors: int, widths: list[int], rows_per_batch: int, batches_per_epoch: int, n_steps: int
) -> None:
    """Make sure that a fit has the memory that it takes at the very least.

    Parameters
    ----------
    n_samples, n_neighbors : int
        Number of rows, and of neighbours of each.
    widths : list of int
        Those of the rows and of the network's layers.
    rows_per_batch, batches_per_epoch, n_steps : int
        Number of rows in a batch, of batches that are drawn at once, and of all batches.

    Raises
    ------
    MemoryError
        If there is less; the message says how much is needed, and for what.
    """
    n_in_batch = min(rows_per_batch, n_samples)
    parts = {
        f"the neighbours of {n_samples} rows": n_samples * n_neighbors * BYTES_OF_NEIGHBOR,
        f"batches of {rows_per_batch} rows": rows_per_batch * (BYTES_OF_ROW_IN_BATCH + 16 * batches_per_epoch)
        + n_in_batch * sum(widths) * BYTES_OF_ACTIVATION,
        f"the learning rates of {n_steps} steps": n_steps * BYTES_OF_STEP,
        "the weights of the network": 16 * sum(n_in * n_out for n_in, n_out in pairwise(widths)),
    }
    needed, there = sum(parts.values()), available_bytes()
    if needed > there:
        what = max(parts, key=parts.__getitem__)
        raise MemoryError(
            f"this fit takes at least {_readable(needed)} of memory, {_readable(parts[what])} of them for {what}; "
            f"{_readable(there)} are free."
        )


def check_stacks(n_threads: int) -> None:
    """Make sure that threads can be started: OpenMP ends the whole process where they cannot.

    Parameters
    ----------
    n_threads : int
        Number of threads, the one that runs counted.

    Raises
    ------
    MemoryError
        If the limit of the process on its addresses leaves no room for their stacks.
    """
    needed, there = (n_threads - 1) * _stack_bytes(), _left_of_limit()
    if needed > there:
        raise MemoryError(
            f"the stacks of {n_threads} threads take {_readable(needed)} of memory; {_readable(there)} are free; "
            "with n_jobs=1 there are none."
        )


def _stack_bytes():
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_STACK)[0]
        return BYTES_OF_STACK if limit == resource.RLIM_INFINITY else limit
    return BYTES_OF_STACK


def _left_of_machine():
    with suppress(OSError, ValueError, LookupError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return 1024 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    return inf


def _left_of_control_group():
    """What a container leaves, which sees its own control group at the root."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError, LookupError):
            root = Path("/sys/fs/cgroup")
            statistics = dict(line.split() for line in (root / limit).with_name("memory.stat").read_text().splitlines())
            used = int((root / usage).read_text()) - int(statistics[cache])  # files in the cache give way
            return int((root / limit).read_text()) - used
    return inf


def _left_of_limit():
    with suppress(ImportError, OSError, ValueError, LookupError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return inf


def _readable(n_bytes):
    unit = "GiB" if n_bytes >= 2**30 else "MiB"
    return f"{n_bytes / (2**30 if unit == 'GiB' else 2**20):.3g} {unit}"
