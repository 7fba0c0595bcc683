"""The methods that are compared, each run as a fresh process: a script in ``peers/``, in an environment of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "parametric_umap" / "benchmarks"

# What pip installs into each environment, one call after the other; constraints.txt settles the versions left open.
ENVIRONMENTS = {
    "paradime": (
        "--no-deps paradime==1.1.0",  # its pins allow no numpy of these years
        "torch==2.13.0 numpy scipy scikit-learn pynndescent numba cerberus ruamel.yaml packaging",
    ),
    "torchdr": ("torchdr==0.5 torch==2.13.0 matplotlib",),
    "umap_learn": ("umap-learn==0.5.12",),
    # Apart from the former: with TensorFlow installed, ``import umap`` imports it.
    "umap_learn_parametric": ("umap-learn==0.5.12 tensorflow-cpu==2.21.0",),
}


@dataclass(frozen=True)
class Method:
    """What a method is called, and where its script runs: in this interpreter, or in a peer's environment."""

    name: str
    environment: str = ""


METHODS = {
    "ours": Method("parametric_umap"),
    "ours_recipe": Method("parametric_umap, the recipe"),
    "paradime_recipe": Method("ParaDime's example", "paradime"),
    "paradime_recipe_relu": Method("ParaDime, the recipe", "paradime"),
    "torchdr_umap": Method("TorchDR UMAP with a network", "torchdr"),
    "umap_learn": Method("umap-learn UMAP", "umap_learn"),
    "umap_learn_parametric": Method("umap-learn ParametricUMAP", "umap_learn_parametric"),
    "umap_learn_autoencoder": Method("umap-learn ParametricUMAP, an autoencoder", "umap_learn_parametric"),
    "umap_learn_landmarks": Method("umap-learn ParametricUMAP, rows added", "umap_learn_parametric"),
}


def run(method, data, seed=0):
    """Fit data by a method in a fresh process.

    Parameters
    ----------
    method : str
        One of METHODS.
    data : str
        A name that ``data.load`` knows.
    seed : int, default=0
        Of everything random in it.

    Returns
    -------
    line : dict
        What it took; where it failed, the reason under "error".
    maps : tuple of ndarray
        Positions of the fitted rows and of the unseen ones; empty where it failed.
    """
    line = {"method": method, "data": data, "seed": seed}
    python = python_of(METHODS[method].environment)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "maps.npz"
        command = [python, HERE / "peers" / f"{method}.py", data, output, str(seed)]
        start = time.perf_counter()
        process = subprocess.run(command, env=variables(), capture_output=True, text=True)
        wall_seconds = time.perf_counter() - start
        if process.returncode != 0:
            print(process.stderr[-4000:], file=sys.stderr)
            last = (process.stderr.strip() or "it said nothing").splitlines()[-1]
            return line | {"error": f"exit status {process.returncode}, {last}"}, ()
        with np.load(output) as arrays:
            maps, took = (arrays["Z"], arrays["Z_unseen"]), json.loads(str(arrays["took"]))
    line |= {"wall_seconds": wall_seconds, "process_seconds": wall_seconds - took["transform_seconds"], **took}
    n_lost = sum(int((~np.isfinite(Z)).any(axis=1).sum()) for Z in maps)
    if n_lost:
        return line | {"error": f"{n_lost:,} of {sum(map(len, maps)):,} positions are not finite"}, ()
    return line, maps


def python_of(environment):
    """The interpreter of an environment, which is made when it is missing; this one without a name."""
    if not environment:
        return sys.executable
    folder, requirements = CACHE / environment, ENVIRONMENTS[environment]
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if not installed.exists() or installed.read_text() != "\n".join(requirements):
        print(f"Installing {' '.join(requirements)} into {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        for requirement in requirements:
            pip = [python, "-m", "pip", "install", "--quiet", "-c", HERE.parent / "constraints.txt"]
            subprocess.run([*pip, *requirement.split()], check=True)
        installed.write_text("\n".join(requirements))
    return python


def variables():
    """The environment variables of a process: it finds the benchmarks and this library, and no GPU."""
    path = os.pathsep.join(map(str, (HERE, HERE.parent)))
    return os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
