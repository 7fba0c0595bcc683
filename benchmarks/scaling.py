"""Time and memory of a default fit against the number of rows (MNIST, moved copies of it) and of features (a mixture).

Each fit is a fresh process and adds a line to results/scaling.jsonl; results/scaling.png is drawn from the last fits on
this machine, by ``--rows --widths`` without any new one. The slopes printed are those of a line through the logarithms:
1 where a cost grows as fast as the data.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from methods import run
from record import RESULTS, append, read

ROWS = (5_000, 10_000, 20_000, 60_000, 200_000, 600_000)
WIDTHS = (50, 100, 200, 500, 1_000, 2_000, 5_000)
KINDS = {"MNIST": "rows of MNIST", "mixture": "features of 10,000 rows"}
COSTS = {
    "fit": ("fit_seconds", 1, "s"),
    "process": ("process_seconds", 1, "s"),
    "memory": ("fit_peak_bytes", 1e9, "GB"),
}


def main(rows, widths):
    for data in (*(f"MNIST {n:,}" for n in rows), *(f"mixture {n:,}" for n in widths)):
        line, _ = run("ours", data)
        append("scaling.jsonl", line)
        print(f"{data:<16}{shown(line)}", flush=True)
    curves = {kind: curves_of(kind, read("scaling.jsonl")) for kind in KINDS}
    for kind, (sizes, costs) in curves.items():
        slopes = ", ".join(f"{cost} {slope(sizes, values):.2f}" for cost, values in costs.items() if len(sizes) > 1)
        print(f"Slopes against {KINDS[kind]}: {slopes}")
    draw(curves, RESULTS / "scaling.png")


def shown(line):
    if "error" in line:
        return f"FAILED, {line['error']}"
    return "  ".join(f"{cost} {line[name] / unit:.2f} {symbol}" for cost, (name, unit, symbol) in COSTS.items())


def curves_of(kind, lines):
    """Sizes, in order, and what the last fit of each cost.

    Parameters
    ----------
    kind : str
        "MNIST" or "mixture".
    lines : list of dict
        All fits.

    Returns
    -------
    sizes : list of int
        Numbers of rows or of features.
    costs : dict of {str: list of float}
        Seconds and gigabytes, one for each size.
    """
    fits = {line["data"].split()[1]: line for line in lines if line["data"].startswith(kind) and "error" not in line}
    by_size = sorted((int(size.replace(",", "")), size) for size in fits)
    costs = {cost: [fits[key][name] / unit for _, key in by_size] for cost, (name, unit, _) in COSTS.items()}
    return [size for size, _ in by_size], costs


def slope(sizes, costs):
    return np.polyfit(np.log(sizes), np.log(costs), 1)[0]


def draw(curves, path):
    """Draw times above memory, a column of panels for rows and one for features, all axes logarithmic."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = figure.subplots(2, len(curves), sharex="col", sharey="row")
    for (kind, (sizes, costs)), (times, memory) in zip(curves.items(), panels.T, strict=True):
        for cost, values in costs.items():
            panel = memory if cost == "memory" else times
            panel.loglog(sizes, values, "o-", label=cost)
        times.set_ylabel("seconds")
        times.legend(frameon=False)
        memory.set(ylabel="peak memory, GB", xlabel=KINDS[kind])
        for axis in (times.yaxis, memory.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    for panel in panels.flat:
        panel.grid(color="#eeeeee")
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS, help="numbers of rows")
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS, help="numbers of features")
    arguments = parser.parse_args()
    main(arguments.rows, arguments.widths)
