"""Default fits beside those of umap-learn's UMAP, which trains no network: warm, in turns, in one process.

Each fit adds a line to results/against_umap.jsonl; results/against_umap.md is made of the last ones by each seed, on
the last commit that each data set was measured on. UMAP has no seed, so that it may take all cores.
"""

import argparse
import time

import numpy as np
from compare import FIGURES
from data import TABLES, load
from record import RESULTS, append, read, versions
from reference_recipe import quality
from umap import UMAP

from parametric_umap import ParametricUMAP

DATA = ("iris", "wine", "digits", *TABLES, "surfaces", "MNIST 5,000", "MNIST 20,000", "MNIST 60,000")
METHODS = {"ours": lambda seed: ParametricUMAP(random_state=seed), "UMAP": lambda seed: UMAP()}


def main(names, seeds):
    rows = np.random.default_rng(0).random((5000, 10))
    for method in METHODS.values():  # what is loaded or compiled late
        method(0).fit(rows).transform(rows[:50])
    for name in names:
        for seed in seeds:
            for method in METHODS:
                line = {"data": name, "method": method, "seed": seed, **measured(method, name, seed)}
                append("against_umap.jsonl", line | {"versions": versions()})
                print(name, method, seed, *(f"{line[key]:.3f}" for key in ("seconds", *FIGURES)), sep="  ", flush=True)
    (RESULTS / "against_umap.md").write_text(table(read("against_umap.jsonl")))


def measured(method, name, seed):
    X, y, X_unseen, y_unseen = load(name)
    model = METHODS[method](seed)
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
    return {"seconds": seconds} | dict(zip(FIGURES, figures, strict=True))


def table(lines):
    """Two rows of Markdown for each data set: the means over seeds, and the worst, of ours and of UMAP."""
    titles = ["data", "method", *FIGURES, "time"]
    rows = [titles, ["---"] * len(titles)]
    for name in dict.fromkeys(line["data"] for line in lines):
        revision = [line["revision"] for line in lines if line["data"] == name][-1]
        of_name = [line for line in lines if line["data"] == name and line["revision"] == revision]
        seconds = {}
        for method in METHODS:
            runs = list({line["seed"]: line for line in of_name if line["method"] == method}.values())
            seconds[method] = min(run["seconds"] for run in runs)
            cells = [f"{np.mean(of):.3f} ({min(of):.3f})" for of in ([run[key] for run in runs] for key in FIGURES)]
            rows.append([name, f"{method}, {len(runs)} runs", *cells, ""])
        rows[-2][-1] = f"{seconds['ours'] / seconds['UMAP']:.2g}×"
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", LEGEND])


LEGEND = """Means over the runs, and the worst of them in parentheses; "train" and "test" are fitted and unseen rows.
The time is that of our fit, in UMAP's: the fastest of warm fits, in turns.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help=f"data sets, of {', '.join(DATA)}; all without any")
    parser.add_argument("--seeds", type=int, nargs="*", default=range(3), help="a fit of each method by each of them")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seeds)
