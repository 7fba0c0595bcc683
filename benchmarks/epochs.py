"""What `n_epochs` buys: seconds of a fit and quality of its map, by a third, the whole and twice the default.

Each figure adds a line to results/epochs.jsonl; results/epochs.md is made of the last ones. Fits of one data set follow
each other in one process, so only the ratios of their seconds say something.
"""

import argparse
import time

from compare import FIGURES
from data import load
from record import RESULTS, append, read, versions
from reference_recipe import quality

from parametric_umap import ParametricUMAP

DATA = ("digits", "waveform", "segment", "page-blocks", "avila", "eeg", "surfaces", "MNIST 5,000")
N_EPOCHS = (10, 30, 60)


def main(names, seeds):
    for name in names:
        X, y, X_unseen, y_unseen = load(name)
        ParametricUMAP(n_epochs=1).fit(X)  # what torch loads late
        for n_epochs in N_EPOCHS:
            for seed in seeds:
                start = time.perf_counter()
                model = ParametricUMAP(n_epochs=n_epochs, random_state=seed).fit(X)
                seconds = time.perf_counter() - start
                figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
                line = {"data": name, "n_epochs": n_epochs, "seed": seed, "seconds": seconds}
                append("epochs.jsonl", line | dict(zip(FIGURES, figures, strict=True)) | {"versions": versions()})
                print(*line.values(), *(f"{figure:.3f}" for figure in figures), sep="  ", flush=True)
    (RESULTS / "epochs.md").write_text(table(read("epochs.jsonl")))


def table(lines):
    """A row of Markdown for each data set, the means over seeds of each number of epochs side by side."""
    last = {(line["data"], line["n_epochs"], line["seed"]): line for line in lines}
    titles = ["data", *(f"`n_epochs={n}`" for n in N_EPOCHS)]
    rows = [titles, ["---"] * len(titles)]
    for name in dict.fromkeys(data for data, _, _ in last):
        whole = mean(last, name, 30, "seconds")
        rows.append([name, *(cell(last, name, n_epochs, whole) for n_epochs in N_EPOCHS)])
    return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", LEGEND])


def cell(last, name, n_epochs, whole):
    accuracy, *figures = (mean(last, name, n_epochs, figure) for figure in FIGURES)
    shown = "{:.3f}<br>{:.3f}&nbsp;/&nbsp;{:.3f}<br>{:.3f}&nbsp;/&nbsp;{:.3f}".format(accuracy, *figures)
    return f"{shown}<br>{mean(last, name, n_epochs, 'seconds') / whole:.2g}×"


def mean(last, name, n_epochs, figure):
    values = [line[figure] for (data, n, _), line in last.items() if (data, n) == (name, n_epochs)]
    return sum(values) / len(values)


LEGEND = """k-NN accuracy of unseen rows, then trustworthiness and recall of fitted / unseen ones, then the time of a
fit beside that of the default; means over seeds.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=DATA, help=f"data sets, of {', '.join(DATA)}; all without any")
    parser.add_argument("--seeds", type=int, nargs="*", default=range(2), help="a fit by each of them")
    arguments = parser.parse_args()
    main(arguments.data, arguments.seeds)
