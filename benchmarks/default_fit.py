"""How long a default fit takes, and how good its map is, from 100 to 60,000 rows.

Each data set is fitted in this process, one after the other, so the first pays for what torch loads late, and the first
above the limit of exact search for the compilation of pynndescent.
"""

import argparse
import os
import platform
import time

import torch
from mnist import load_mnist
from reference_recipe import quality
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP


def main(names):
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'data':<14}{'rows':>7}{'fit, s':>9}{'k-NN acc.':>11}{'trust train / test':>20}{'recall train / test':>21}")
    for name in names:
        X, y, X_unseen, y_unseen = DATA[name]()
        start = time.perf_counter()
        model = ParametricUMAP(random_state=0).fit(X)
        seconds = time.perf_counter() - start
        figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
        row = "{:>11.3f}{:>12.3f} / {:.3f}{:>13.3f} / {:.3f}".format(*figures)
        print(f"{name:<14}{len(X):>7,}{seconds:>9.1f}{row}", flush=True)


def held_out(load):
    def split():
        X, y = load(return_X_y=True)
        X, X_unseen, y, y_unseen = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
        return X, y, X_unseen, y_unseen

    return split


def first_of_mnist(n_samples):
    def first():
        X, y, X_unseen, y_unseen = load_mnist()
        return X[:n_samples], y[:n_samples], X_unseen, y_unseen

    return first


DATA = {
    "iris": held_out(load_iris),
    "wine": held_out(load_wine),
    "breast cancer": held_out(load_breast_cancer),
    "digits": held_out(load_digits),
    "MNIST 5,000": first_of_mnist(5_000),
    "MNIST 60,000": first_of_mnist(60_000),
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(DATA), help=f"data sets, of {', '.join(DATA)}; all without any")
    main(parser.parse_args().data)
