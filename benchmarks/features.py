"""What each feature reaches beside a plain map, against the same of umap-learn on the same data.

Each figure adds a line to results/features.jsonl; results/features.md is made of the last ones on this machine. What
needs TensorFlow is run in an environment of its own, as in compare.py.
"""

import argparse
import time
from itertools import chain

import numpy as np
from data import ADDED, load
from methods import run
from record import RESULTS, append, read, versions
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from umap import UMAP

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy, random_triplet_accuracy
from parametric_umap.output_metrics import as_drawn
from parametric_umap.terms.density import embedded_log_radii

MNIST = "MNIST 5,000"


COLUMNS = ("feature", "data", "figure", "ours", "against", "theirs")
LEGEND = "One seed each; machine, versions and commit stand in every line of features.jsonl.\n"


def main(names):
    for row in chain.from_iterable(FEATURES[name]() for name in names):
        print(*row, sep="  |  ", flush=True)
        append("features.jsonl", dict(zip(COLUMNS, row, strict=True)) | {"versions": versions()})
    last = {
        tuple(line[name] for name in COLUMNS if name not in ("ours", "theirs")): line for line in read("features.jsonl")
    }
    rows = [[line[name] for name in COLUMNS] for line in last.values()]
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    (RESULTS / "features.md").write_text("\n".join([*lines, "", LEGEND]))


def supervision():
    """Labels bring unseen rows nearer to those of their kind."""
    X, y, X_unseen, y_unseen = load(MNIST)

    def accuracy(model, labels):
        model.fit(X, labels)
        return knn_accuracy(model.embedding_, y, model.transform(X_unseen), y_unseen)

    partly = np.where(np.arange(len(y)) % 2, y, -1)
    for known, labels in (("no label", None), ("every other label", partly), ("every label", y)):
        ours = ParametricUMAP(target_metric=None if labels is None else "categorical", random_state=0)
        figures = f"{accuracy(ours, labels):.3f}", "umap-learn UMAP", f"{accuracy(UMAP(random_state=0), labels):.3f}"
        yield "target_metric", MNIST, f"k-NN accuracy of unseen rows, {known} known", *figures


def reconstruction():
    """Rows given back from their coordinates, as mean squared error of pixels from 0 to 1."""
    X, _, X_unseen, _ = load(MNIST)
    autoencoder = {"autoencoder": True, "reconstruction_weight": 100, "hidden_layer_sizes": (256, 256)}
    for n_components, parameters in ((2, {}), (32, autoencoder)):
        umap = ParametricUMAP(n_components=n_components, decoder=True, random_state=0, **parameters).fit(X)
        pca = PCA(n_components).fit(X)
        ours = f"{error(umap.inverse_transform(umap.transform(X_unseen)), X_unseen):.4f}"
        theirs = f"{error(pca.inverse_transform(pca.transform(X_unseen)), X_unseen):.4f}"
        figure = f"error of unseen rows from {n_components} components"
        yield "decoder", MNIST, figure, ours, "PCA", theirs
    line, maps = run("umap_learn_autoencoder", MNIST)
    yield "decoder", MNIST, figure, ours, "umap-learn ParametricUMAP", theirs_or_error(line, maps, error, X_unseen)


def error(given_back, rows):
    return float(np.square(given_back - rows).mean())


def theirs_or_error(line, maps, figure, *arguments):
    return f"{figure(maps[1], *arguments):.4f}" if maps else line["error"]


def adding_rows():
    """Nines are added to a map of the other digits: how far the others move, and whether unseen nines are found."""
    X, y, nines, _ = load("digits but 9")
    umap = ParametricUMAP(random_state=0).fit(X)
    before = umap.embedding_
    umap.partial_fit(nines[:ADDED])
    ours = moved_and_found(before, umap.transform(X), umap.transform(nines), y)
    _, (of_fitted, of_nines) = run("umap_learn_landmarks", "digits but 9")
    theirs = moved_and_found(of_fitted[:, :2], of_fitted[:, 2:], of_nines, y)
    figures = "old rows move, of the map's extent", "unseen nines found by k-NN"
    for figure, own, other in zip(figures, ours, theirs, strict=True):
        yield "partial_fit", "digits", figure, f"{own:.3f}", "umap-learn ParametricUMAP", f"{other:.3f}"


def moved_and_found(before, after, nines, y):
    moved = np.linalg.norm(after - before, axis=1).mean() / np.ptp(before, axis=0).max()
    nearest = KNeighborsClassifier(10).fit(np.vstack([after, nines[:ADDED]]), np.r_[y, np.full(ADDED, 9)])
    return moved, nearest.score(nines[ADDED:], np.full(len(nines) - ADDED, 9))


def global_structure():
    """Which of two random rows is the nearer one, among the unseen, with and without a term for it."""
    for data in ("digits", MNIST):
        X, _, X_unseen, _ = load(data)
        kept, plain = (ParametricUMAP(global_correlation_weight=w, random_state=0).fit(X) for w in (3, 0))
        triplets = (random_triplet_accuracy(X_unseen, umap.transform(X_unseen)) for umap in (kept, plain))
        trust = (umap.score(X_unseen) for umap in (kept, plain))
        for figure, (own, other) in {"random-triplet accuracy": triplets, "trustworthiness": trust}.items():
            cells = f"{own:.3f}", "ours without", f"{other:.3f}"
            yield "global_correlation_weight=3", data, f"{figure} of unseen rows", *cells


def density():
    """The correlation of local radii of rows and of their points; ours on unseen rows, umap-learn's on fitted ones."""
    X, _, X_unseen, _ = load(MNIST)
    _, of_rows, of_points = UMAP(densmap=True, output_dens=True, random_state=0).fit_transform(X)
    umap = ParametricUMAP(densmap=True, random_state=0).fit(X)
    unseen = X_unseen[: len(X)]
    radii = embedded_log_radii(unseen, 15), embedded_log_radii(umap.transform(unseen), 15)
    theirs = f"{np.corrcoef(of_rows, of_points)[0, 1]:.3f}"
    for which, pair in (("fitted", (umap.rad_orig_, umap.rad_emb_)), ("unseen", radii)):
        figure = f"correlation of log radii, {which} rows"
        yield "densmap", MNIST, figure, f"{np.corrcoef(*pair)[0, 1]:.3f}", "umap-learn UMAP, fitted rows", theirs


def novelty():
    """Unseen digits told from what is none, and what that costs."""
    X, _, X_unseen, _ = load(MNIST)
    umap = ParametricUMAP(random_state=0).fit(X)
    usual = umap.novelty_score(X_unseen[5000:])
    random = np.random.default_rng(0)
    strange = {
        "noise": random.uniform(size=(5000, 784)).astype(np.float32),
        "negatives 1 - x": 1 - X_unseen[:5000],
        "shuffled pixels": random.permuted(X_unseen[:5000], axis=1),
    }
    for name, rows in strange.items():
        scores = np.concatenate([usual, umap.novelty_score(rows)])
        auc = roc_auc_score(np.arange(len(scores)) >= len(usual), scores)
        yield "novelty_score", MNIST, f"AUC, unseen rows against {name}", f"{auc:.3f}", "–", "–"
    cost = np.median([seconds(umap.novelty_score, X_unseen) / seconds(umap.transform, X_unseen) for _ in range(9)])
    yield "novelty_score", MNIST, "cost of 10,000 rows, in transforms", f"{cost:.1f}", "–", "–"


def seconds(function, X):
    start = time.perf_counter()
    function(X)
    return time.perf_counter() - start


def other_spaces():
    """Maps that are not flat, or of other dimensions: k-NN accuracy of unseen rows, by distances as they are drawn."""
    X, y, X_unseen, y_unseen = load(MNIST)

    def accuracy(umap):
        fitted, unseen = (as_drawn(Z, umap.output_metric) for Z in (umap.fit_transform(X), umap.transform(X_unseen)))
        return knn_accuracy(fitted, y, unseen, y_unseen)

    spaces = [{"output_metric": "haversine"}, {"output_metric": "hyperboloid"}]
    for parameters in (*spaces, *({"n_components": n} for n in (3, 10, 50))):
        ours, theirs = (accuracy(kind(random_state=0, **parameters)) for kind in (ParametricUMAP, UMAP))
        feature = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        yield feature, MNIST, "k-NN accuracy of unseen rows", f"{ours:.3f}", "umap-learn UMAP", f"{theirs:.3f}"


FEATURES = {
    "supervision": supervision,
    "reconstruction": reconstruction,
    "adding": adding_rows,
    "global": global_structure,
    "density": density,
    "novelty": novelty,
    "spaces": other_spaces,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "features", nargs="*", default=list(FEATURES), help=f"of {', '.join(FEATURES)}; all without any"
    )
    main(parser.parse_args().features)
