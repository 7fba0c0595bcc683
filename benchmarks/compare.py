"""Our fits against those of the peers, each a whole fresh process on this machine, taking turns.

Peers are installed into environments of their own under ~/.cache/parametric_umap/benchmarks. Each run, of another seed,
adds a line to results/compare.jsonl; results/compare.md and results/compare.png are made of the last run by each seed
on this machine, by ``--seeds`` without any new one.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from data import TABLES, load
from matplotlib.figure import Figure
from methods import METHODS, run
from record import RESULTS, append, read
from reference_recipe import quality

ACCURACY, TRUST, RECALL = "k-NN accuracy", ("trust train", "trust test"), ("recall train", "recall test")
FIGURES = (ACCURACY, *TRUST, *RECALL)
TRAIN, TEST = zip(TRUST, RECALL, strict=True)


def main(names, seeds):
    jobs = dict.fromkeys(job for name in names for job in (ROWS[name].ours, ROWS[name].theirs))
    for seed in seeds:
        for method, data in jobs:
            line = measure(method, data, seed)
            append("compare.jsonl", line)
            print(summary(line), flush=True)
    medians = medians_of(read("compare.jsonl"))
    (RESULTS / "compare.md").write_text(table(medians))
    draw(medians, RESULTS / "compare.png")
    print("\n" + table(medians))


def measure(method, data, seed):
    """Fit data in a fresh process, and add to what it took how good the maps are."""
    line, maps = run(method, data, seed)
    if not maps:
        return line
    X, y, X_unseen, y_unseen = load(data)
    return line | dict(zip(FIGURES, quality(X, y, maps[0], X_unseen, y_unseen, maps[1]), strict=True))


def summary(line):
    if "error" in line:
        return f"{line['method']}, {line['data']}: FAILED, {line['error']}"
    took = "process {process_seconds:.1f} s, fit {fit_seconds:.1f} s, transform {transform_seconds:.2f} s".format(
        **line
    )
    packages = ", ".join(f"{package} {version}" for package, version in line["versions"].items())
    memory = f"{line['fit_peak_bytes'] / 1e9:.2f} GB"
    return f"{line['method']}, {line['data']}: {took}, {memory}; {quality_of(line)}\n  {packages}"


# ---- What is to be reached ----


def faster(times, seconds="fit_seconds"):
    """At least so many times faster."""
    return ratio(seconds, times, seconds.removesuffix("_seconds"), "{:.3g} s")


def at_most(times):
    """At most so many times the time of a fit."""

    def check(ours, theirs):
        took = ours["fit_seconds"] / theirs["fit_seconds"]
        return f"{took:.3g} times the time ({ours['fit_seconds']:.3g} s, {theirs['fit_seconds']:.3g} s)", took <= times

    return check


def smaller(times):
    """At least so many times less memory at the peak of a fit."""
    return ratio("fit_peak_bytes", times, "memory", "{:.3g} GB", unit=1e9)


def ratio(figure, least, name, shown, unit=1.0):
    def check(ours, theirs):
        ours, theirs = ours[figure] / unit, theirs[figure] / unit
        return f"{name} {theirs / ours:.3g}× ({shown.format(ours)}, {shown.format(theirs)})", theirs / ours >= least

    return check


def below(limit):
    """At most so many bytes at the peak of a fit."""
    return lambda ours, theirs: (f"{ours['fit_peak_bytes'] / 1e9:.3g} GB", ours["fit_peak_bytes"] <= limit)


def no_lower(figures=FIGURES, slack=0.0):
    """No figure of quality below theirs by more than the slack."""
    return least_gain(figures, lambda gain: gain >= -slack)


def higher(figures=FIGURES):
    """Every figure of quality above theirs."""
    return least_gain(figures, lambda gain: gain > 0)


def least_gain(figures, reached):
    def check(ours, theirs):
        gains = {figure: ours[figure] - theirs[figure] for figure in figures}
        worst = min(gains, key=gains.get)
        return f"{worst} {gains[worst]:+.3f}", reached(gains[worst])

    return check


@dataclass(frozen=True)
class Row:
    """A row of the table: what is done, by which methods on which data, what is to be reached, in words and code."""

    work: str
    ours: tuple
    theirs: tuple
    target: str
    checks: tuple


def recipe_against(peer):
    return Row(
        "the reference recipe, 5,000 rows",
        ("ours_recipe", "MNIST 5,000"),
        (peer, "MNIST 5,000"),
        "20 times faster, no figure lower",
        (faster(20), no_lower()),
    )


def against_umap(name):
    return Row(
        f"default fit, {name}",
        ("ours", name),
        ("umap_learn", name),
        "process no slower",
        (faster(1, "process_seconds"),),
    )


ROWS = {
    "recipe": recipe_against("paradime_recipe_relu"),
    "example": recipe_against("paradime_recipe"),
    "5,000": Row(
        "default fit, 5,000 rows",
        ("ours", "MNIST 5,000"),
        ("umap_learn_parametric", "MNIST 5,000"),
        "40 times faster, every figure higher",
        (faster(40), higher()),
    ),
    "5,000 umap": Row(
        "default fit, 5,000 rows",
        ("ours", "MNIST 5,000"),
        ("umap_learn", "MNIST 5,000"),
        "process no slower",
        (faster(1, "process_seconds"),),
    ),
    "torchdr": Row(
        "default fit, 5,000 rows",
        ("ours", "MNIST 5,000"),
        ("torchdr_umap", "MNIST 5,000"),
        "no slower, every figure higher",
        (faster(1), higher()),
    ),
    "60,000": Row(
        "default fit, 60,000 rows",
        ("ours", "MNIST 60,000"),
        ("umap_learn_parametric", "MNIST 60,000"),
        "50 times faster, a sixth of the memory; accuracy and trust no lower, recall higher",
        (faster(50), smaller(6), no_lower((ACCURACY, *TRUST)), higher(RECALL)),
    ),
    "umap": Row(
        "default fit, 60,000 rows",
        ("ours", "MNIST 60,000"),
        ("umap_learn", "MNIST 60,000"),
        "process no slower, no more memory; trust and recall no lower on train, within .008 on test",
        (faster(1, "process_seconds"), smaller(1), no_lower(TRAIN), no_lower(TEST, slack=0.008)),
    ),
    "transform": Row(
        "transform of 10,000 rows, 60,000 fitted",
        ("ours", "MNIST 60,000"),
        ("umap_learn", "MNIST 60,000"),
        "50 times faster",
        (faster(50, "transform_seconds"),),
    ),
    "600,000": Row(
        "default fit, 600,000 rows: ten moved copies of 60,000",
        ("ours", "MNIST 600,000"),
        ("ours", "MNIST 60,000"),
        "at most 10 times the time, at most 5 GB",
        (at_most(10), below(5e9)),
    ),
    "20,000 umap": against_umap("MNIST 20,000"),
    **{name: against_umap(name) for name in ("iris", "wine", "digits", *TABLES, "surfaces")},
}


# ---- Table and plot ----


def medians_of(lines):
    """Medians of the last run by each seed, of each method on each data set; where one of them failed, its error.

    Of ours, those at the last commit that was measured on the data.
    """
    last = {(line["method"], line["data"]): line["revision"] for line in lines}
    runs = {}
    for line in lines:
        job = line["method"], line["data"]
        if not line["method"].startswith("ours") or line["revision"] == last[job]:
            runs.setdefault(job, {})[line.get("seed")] = line
    return {job: median(list(by_seed.values())) for job, by_seed in runs.items()}


def median(lines):
    errors = [line["error"] for line in lines if "error" in line]
    if errors:
        return {"error": f"{len(errors)} of {len(lines)} runs: {errors[-1]}"}
    names = [name for name, value in lines[0].items() if isinstance(value, float | int)]
    return {name: float(np.median([line[name] for line in lines])) for name in names} | {"n_runs": len(lines)}


def table(medians):
    """Write a row of Markdown for each row of which both sides were run."""
    titles = ("work", "against", "reached (ours, theirs)", "target", "runs", "quality, ours", "quality, theirs")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in ROWS.values():
        if row.ours in medians and row.theirs in medians:
            lines.append(f"| {' | '.join(cells(row, medians[row.ours], medians[row.theirs]))} |")
    return "\n".join([*lines, "", LEGEND])


def cells(row, ours, theirs):
    against = METHODS[row.theirs[0]].name
    if row.theirs[1] != row.ours[1]:
        against += f", {row.theirs[1]}"
    runs = ", ".join(str(side.get("n_runs", "–")) for side in (ours, theirs))
    qualities = (quality_of(side).replace(" · ", "<br>").replace(" / ", "&nbsp;/&nbsp;") for side in (ours, theirs))
    return row.work, against, reached(row, ours, theirs), row.target, runs, *qualities


def reached(row, ours, theirs):
    errors = [
        f"{side} failed, {took['error']}" for side, took in (("ours", ours), ("theirs", theirs)) if "error" in took
    ]
    if errors:
        return "; ".join(errors)
    return "<br>".join(
        f"{'✓' if passed else '✗'} {text}" for text, passed in (check(ours, theirs) for check in row.checks)
    )


def quality_of(line):
    if "error" in line:
        return "–"
    return "{:.3f} · {:.3f} / {:.3f} · {:.3f} / {:.3f}".format(*(line[figure] for figure in FIGURES))


LEGEND = """Medians of runs by several seeds; there are so many of ours and of theirs. "fit" goes from
neighbours to embedding; "process" is a cold process up to there, imports and compilation included, and "memory" is its
peak; "transform" is the first call. Quality is k-NN accuracy, trustworthiness train / test, recall train / test. With
`random_state`, umap-learn works on one core.
"""


def draw(medians, path, columns=("MNIST 5,000", "MNIST 60,000"), figures=(ACCURACY, *TEST)):
    """Draw quality on unseen rows against the seconds of a cold process, a column of panels for each data set."""
    figure = Figure(figsize=(5.6 * len(columns), 2.8 * len(figures)), layout="constrained")
    panels = figure.subplots(len(figures), len(columns), sharex="col")
    for data, column in zip(columns, panels.T, strict=True):
        for name, panel in zip(figures, column, strict=True):
            for i, (method, described) in enumerate(METHODS.items()):
                if name in medians.get((method, data), {}):
                    took = medians[method, data]
                    panel.scatter(took["process_seconds"], took[name], s=50, color=f"C{i}", label=described.name)
            panel.set(xscale="log", ylabel=name)
            panel.margins(x=0.15, y=0.2)
            panel.grid(color="#eeeeee")
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
        column[0].set_title(f"{data} rows", loc="left")
        column[-1].set_xlabel("seconds, cold process")
    shown = [panel.get_legend_handles_labels() for panel in panels[0]]
    points = {label: point for handles, labels in shown for point, label in zip(handles, labels, strict=True)}
    figure.legend(points.values(), points.keys(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "rows", nargs="*", default=list(ROWS), help=f"rows to run, of {', '.join(ROWS)}; all without any"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=range(3), help="a run of each method by each of them")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.seeds)
