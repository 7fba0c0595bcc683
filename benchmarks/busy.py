"""How long a fit takes beside another process that computes without pause, against one on an idle machine.

Both are timed in turns; a line is added to results/busy.jsonl.
"""

import argparse
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
from data import load
from record import append, machine, versions

from parametric_umap import ParametricUMAP


def main(data, n_fits, n_jobs):
    X = load(data)[0]
    umap = ParametricUMAP(random_state=0, n_jobs=n_jobs)
    expected = umap.fit(X).embedding_.copy()
    seconds = {"alone": [], "beside": []}
    for _ in range(n_fits):
        seconds["alone"].append(timed_fit(umap, X))
        with another_process():
            seconds["beside"].append(timed_fit(umap, X))
        assert np.array_equal(umap.embedding_, expected), "the map depends on what else ran"
    median = {how: float(np.median(values)) for how, values in seconds.items()}
    ratio = median["beside"] / median["alone"]
    print(
        f"{data}, {machine()['cores']} cores: {ratio:.2f} times as long beside another process as alone; the same bits"
    )
    append("busy.jsonl", {"data": data, "n_jobs": n_jobs, "ratio": ratio, "seconds": seconds, "versions": versions()})


def timed_fit(umap, X):
    start = time.perf_counter()
    umap.fit(X)
    return time.perf_counter() - start


@contextmanager
def another_process():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", default="MNIST 5,000", help="as benchmarks/data.py names it")
    parser.add_argument("--fits", type=int, default=5, help="of each kind")
    parser.add_argument("--n-jobs", type=int, help="of the fits")
    arguments = parser.parse_args()
    main(arguments.data, arguments.fits, arguments.n_jobs)
