"""How long a default fit takes, and how good its map is, from 100 to 60,000 rows.

Each data set is fitted in this process, one after the other, so the first pays for what torch loads late.
"""

import argparse
import os
import platform
import time

import torch
from data import SMALL, load
from reference_recipe import quality

from parametric_umap import ParametricUMAP


def main(names):
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'data':<14}{'rows':>7}{'fit, s':>9}{'k-NN acc.':>11}{'trust train / test':>20}{'recall train / test':>21}")
    for name in names:
        X, y, X_unseen, y_unseen = load(name)
        start = time.perf_counter()
        model = ParametricUMAP(random_state=0).fit(X)
        seconds = time.perf_counter() - start
        figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
        row = "{:>11.3f}{:>12.3f} / {:.3f}{:>13.3f} / {:.3f}".format(*figures)
        print(f"{name:<14}{len(X):>7,}{seconds:>9.1f}{row}", flush=True)


DATA = (*SMALL, "MNIST 5,000", "MNIST 60,000")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help=f"data sets, of {', '.join(DATA)}; all without any")
    main(parser.parse_args().data)
