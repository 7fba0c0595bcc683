"""Fits of several processes of one thread each, started by torchrun on this machine, beside that of one process.

Each fit adds a line to results/together.jsonl; results/together.md is made of the last ones on this machine. Processes
share the cores, so that their number shows what fitting together costs, not how fast many machines are.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from data import load
from record import RESULTS, append, peak_memory, read, versions
from reference_recipe import quality

from parametric_umap import ParametricUMAP

DATA = ("digits", "MNIST 5,000", "MNIST 20,000")
PROCESSES = (1, 2, 4)
FIGURES = ("k-NN accuracy", "trust train", "trust test", "recall train", "recall test")


def main(names, seeds):
    for name in names:
        for seed in seeds:
            for n_processes in PROCESSES:
                line = measured(name, seed, n_processes)
                append("together.jsonl", line | {"versions": versions()})
                print(*line.values(), sep="  ", flush=True)
    (RESULTS / "together.md").write_text(table(read("together.jsonl")))


def measured(name, seed, n_processes):
    """Fit by so many processes, and measure the whole map."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    with tempfile.TemporaryDirectory() as folder:
        share = [str(Path(__file__)), name, "--seeds", str(seed), "--into", folder]
        subprocess.run([*torchrun, *share], check=True, capture_output=True, text=True)
        files = [Path(folder) / str(rank) for rank in range(n_processes)]
        told = [json.loads(file.with_suffix(".json").read_text()) for file in files]
        embedding = np.concatenate([np.load(file.with_suffix(".npy")) for file in files])
        of_unseen = np.load(Path(folder) / "unseen.npy")
    X, y, X_unseen, y_unseen = load(name)
    figures = quality(X, y, embedding, X_unseen, y_unseen, of_unseen)
    most = {key: max(process[key] for process in told) for key in told[0]}
    return {"data": name, "seed": seed, "processes": n_processes} | most | dict(zip(FIGURES, figures, strict=True))


def fit_share(name, seed, folder):
    """What torchrun starts: a fit of this process's rows, twice, since the first one loads and compiles."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    X, _, X_unseen, _ = load(name)
    own = np.array_split(X, size)[rank]
    umap = ParametricUMAP(distributed=size > 1, n_jobs=1, random_state=seed)
    for _ in range(2):
        torch.distributed.barrier()
        start = time.perf_counter()
        umap.fit(own)
        seconds = time.perf_counter() - start
    np.save(folder / f"{rank}.npy", umap.embedding_)
    if rank == 0:
        np.save(folder / "unseen.npy", umap.transform(X_unseen))
    n_weights = sum(parameter.numel() for parameter in umap.encoder_.parameters())
    # The gradient and the loss; the columns, there and back.
    per_step = 4 * (n_weights + 1) + 2 * 4 * 2 * 128
    line = {"seconds": seconds, "peak_bytes": peak_memory(), "bytes_per_step": per_step if size > 1 else 0}
    (folder / f"{rank}.json").write_text(json.dumps(line))


def table(lines):
    """A row of Markdown for each data set and number of processes: means over the seeds."""
    runs = {}
    for line in lines:
        runs.setdefault((line["data"], line["processes"]), {})[line["seed"]] = line
    titles = ["data", "processes", "time, in one process's", "memory of each", "sent in a step", *FIGURES]
    rows = [titles, ["---"] * len(titles)]
    for (name, n_processes), by_seed in runs.items():
        mean = {
            key: np.mean([run[key] for run in by_seed.values()]) for key in ("peak_bytes", "bytes_per_step", *FIGURES)
        }
        fastest, alone = (min(run["seconds"] for run in runs[name, n].values()) for n in (n_processes, 1))
        costs = [
            f"{fastest / alone:.2g}×",
            f"{mean['peak_bytes'] / 1e9:.2g} GB",
            f"{mean['bytes_per_step'] / 1e3:.0f} kB",
        ]
        rows.append([name, str(n_processes), *costs, *(f"{mean[key]:.3f}" for key in FIGURES)])
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", LEGEND])


LEGEND = """Warm fits by one thread a process; processes share the cores of one machine, so four take turns on two.
Figures are means over seeds; "train" and "test" are fitted and unseen rows.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help="data sets that data.py knows")
    parser.add_argument("--seeds", type=int, nargs="*", default=range(3), help="a fit by each of them")
    parser.add_argument("--into", type=Path, help="of a process that torchrun has started: the folder for its results")
    arguments = parser.parse_args()
    if arguments.into:
        fit_share(arguments.data[0], arguments.seeds[0], arguments.into)
    else:
        main(arguments.data, arguments.seeds)
