"""Default fits beside those of umap-learn's UMAP, which trains no network: warm, in turns, in one process.

Each fit adds a line to results/against_umap.jsonl; results/against_umap.md and results/against_umap.png are made of the
last ones by each seed, on the last commit that each data set was measured on. UMAP has no seed, so that it may take all
cores.
"""

import argparse
import time

import numpy as np
from compare import FIGURES
from data import TABLES, load
from matplotlib.figure import Figure
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
    found = last_runs(read("against_umap.jsonl"))
    (RESULTS / "against_umap.md").write_text(table(found))
    draw(found, RESULTS / "against_umap.png")


def measured(method, name, seed):
    X, y, X_unseen, y_unseen = load(name)
    model = METHODS[method](seed)
    start = time.perf_counter()
    model.fit(X)
    seconds = time.perf_counter() - start
    figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
    return {"seconds": seconds} | dict(zip(FIGURES, figures, strict=True))


def last_runs(lines):
    """The last run by each seed at the last commit, by data set and method."""
    revision = {line["data"]: line["revision"] for line in lines}
    by_seed = {}
    for line in lines:
        if line["revision"] == revision[line["data"]]:
            by_seed[line["data"], line["method"], line["seed"]] = line
    return {
        name: {method: [run for (*of, _), run in by_seed.items() if of == [name, method]] for method in METHODS}
        for name in DATA
        if name in revision
    }


def table(found):
    """Two rows of Markdown for each data set: the means over seeds, and the worst, of ours and of UMAP."""
    titles = ["data", "method", *FIGURES, "time"]
    rows = [titles, ["---"] * len(titles)]
    for name, by_method in found.items():
        seconds = {}
        for method, runs in by_method.items():
            seconds[method] = min(run["seconds"] for run in runs)
            cells = [f"{np.mean(of):.3f} ({min(of):.3f})" for of in ([run[key] for run in runs] for key in FIGURES)]
            rows.append([name, f"{method}, {len(runs)} runs", *cells, ""])
        rows[-2][-1] = f"{seconds['ours'] / seconds['UMAP']:.2g}×"
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", LEGEND])


def draw(found, path):
    """Draw how much higher each figure of ours is than UMAP's, and how far its runs reach, a line for each data set."""
    figure = Figure(figsize=(14, 0.38 * len(found) + 1.3), layout="constrained")
    panels = figure.subplots(1, len(FIGURES), sharey=True)
    names = list(found)
    for name_of_figure, panel in zip(FIGURES, panels, strict=True):
        for place, name in enumerate(names):
            ours, theirs = ([run[name_of_figure] for run in found[name][method]] for method in METHODS)
            gains = np.array(ours) - np.mean(theirs)
            color = "C0" if gains.mean() >= 0 else "C3"
            panel.plot([gains.min(), gains.max()], [place, place], color=color, alpha=0.4, linewidth=3)
            panel.plot(gains.mean(), place, "o", color=color)
        panel.axvline(0, color="#888888", linewidth=1)
        panel.set_title(name_of_figure, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", color="#eeeeee")
        panel.set_axisbelow(True)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.supxlabel("ours less UMAP's mean: dots are means over seeds, lines reach from the lowest to the highest")
    figure.savefig(path, dpi=160)


LEGEND = """Means over the runs, and the worst of them in parentheses; "train" and "test" are fitted and unseen rows.
The time is that of our fit, in UMAP's: the fastest of warm fits, in turns.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help=f"data sets, of {', '.join(DATA)}; all without any")
    parser.add_argument("--seeds", type=int, nargs="*", default=range(3), help="a fit of each method by each of them")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seeds)
