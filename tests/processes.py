"""Real processes of one group of torch.distributed, for the tests of fits together."""

import os
import pickle
import socket
import traceback
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

SECONDS = 240  # that a process may take; then it is killed


def run_together(function, n_processes, *arguments):
    """Run a function in each process of a group.

    Parameters
    ----------
    function : callable
        Of a module; called as ``function(rank, *arguments)``.
    n_processes : int
        How many.
    *arguments : object
        What it takes.

    Returns
    -------
    results : list
        What it gave in each process, None where that has died; an error as its traceback.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    with TemporaryDirectory() as folder:
        files = [Path(folder) / str(rank) for rank in range(n_processes)]
        processes = [
            context.Process(target=_run, args=(function, rank, n_processes, port, file, arguments))
            for rank, file in enumerate(files)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(SECONDS)
            process.kill()
        return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]


def _run(function, rank, n_processes, port, file, arguments):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=n_processes, timeout=timedelta(seconds=60))
    try:
        result = function(rank, *arguments)
    except Exception:
        result = traceback.format_exc()
    file.write_bytes(pickle.dumps(result))
    # No farewell: one that has lost another would wait for it.
