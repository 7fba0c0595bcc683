"""What goes wrong around fits, done on purpose: how often it was tried, and how often all held.

Each fault is tried at random moments or with random values, from a seed. Every run adds a line for each to
results/faults.jsonl, and results/faults.md is written anew from the last line of each. Needs Linux.
"""

import argparse
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import joblib
import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from record import RESULTS, append, machine, versions
from sklearn.datasets import load_iris

from parametric_umap import ParametricUMAP, defaults

X = load_iris().data.astype(np.float32)
QUICK = {"n_neighbors": 5, "init_epochs": 2, "n_epochs": 3, "batches_per_epoch": 4, "batch_size": 32}
LIMIT = 120  # seconds that a child may take
HERE = Path(__file__).parent


def main(names, share, seed):
    warnings.simplefilter("ignore")
    for name in names:
        tried_by, n_wanted, _ = FAULTS[name]
        n_tries = max(1, round(n_wanted * share))
        rng, start = np.random.default_rng(seed), time.perf_counter()
        failures = [failure for failure in tried_by(n_tries, rng) if failure]
        seconds = time.perf_counter() - start
        n_held = n_tries - len(failures)
        print(f"{name}: {n_held} of {n_tries} held, {seconds:.0f} s", *failures[:5], sep="\n  ", flush=True)
        line = {"fault": name, "tried": n_tries, "held": n_held, "seconds": seconds}
        append("faults.jsonl", line | {"seed": seed, "failures": failures[:20], "versions": versions()})
    write_table()


def write_table():
    """The last line of every fault, as a table."""
    last = {line["fault"]: line for line in map(json.loads, (RESULTS / "faults.jsonl").read_text().splitlines())}
    rows = [
        f"| {name}: {what} | {last[name]['tried']} | {last[name]['held']} | {last[name]['seconds']:.0f} |"
        for name, (_, _, what) in FAULTS.items()
        if name in last
    ]
    head = [f"On {machine()['cpu']}, {machine()['cores']} cores; by `python benchmarks/faults.py`.", ""]
    head += ["| fault | tried | held | seconds |", "|---|---|---|---|"]
    (RESULTS / "faults.md").write_text("\n".join([*head, *rows]) + "\n")


# ---- Values ----

ODD = (
    None,
    True,
    -1,
    0,
    1,
    2.5,
    10**30,
    -(10**30),
    1e300,
    1e-300,
    np.nan,
    np.inf,
    "",
    "nonsense",
    b"x",
    [],
    [1],
    (0,),
    {},
)
METHODS = ("fit_transform", "transform", "partial_fit", "novelty_score", "inverse_transform")
ODD_X = {
    "none": lambda rng: None,
    "a number": lambda rng: 3.0,
    "a text": lambda rng: "rows",
    "one dimension": lambda rng: X[0],
    "three dimensions": lambda rng: X[None],
    "no rows": lambda rng: X[:0],
    "no features": lambda rng: X[:, :0],
    "one row": lambda rng: X[:1],
    "two rows": lambda rng: X[:2],
    "NaN": lambda rng: np.where(rng.random(X.shape) < 0.01, np.nan, X),
    "infinity": lambda rng: np.where(rng.random(X.shape) < 0.01, np.inf, X),
    "complex": lambda rng: X * 1j,
    "texts": lambda rng: X.astype(str),
    "objects": lambda rng: X.astype(object),
    "booleans": lambda rng: rng.random(X.shape) < 0.5,
    "int8": lambda rng: X.astype(np.int8),
    "float16": lambda rng: X.astype(np.float16),
    "equal rows": lambda rng: np.ones_like(X),
    "masked": lambda rng: np.ma.masked_greater(X, 5),
    "COO": lambda rng: sp.coo_array(X),
    "nested lists": lambda rng: X.tolist(),
    "ragged lists": lambda rng: [[1.0], [1.0, 2.0]],
    "a meta tensor": lambda rng: torch.empty(X.shape, device="meta"),
    "a sparse tensor": lambda rng: torch.tensor(X).to_sparse(),
    "bfloat16": lambda rng: torch.tensor(X).bfloat16(),
    "a far row": lambda rng: np.vstack([X, np.full((1, 4), 1e30)]),
    "reversed": lambda rng: X[::-1, ::-1],
    "read-only": lambda rng: np.broadcast_to(X[:1], X.shape),
}


def odd_inputs(n_tries, rng):
    """An error that says what it is about, or a finite result; and the estimator as it was."""
    fitted = ParametricUMAP(random_state=0, decoder=True, **QUICK).fit(X)
    names = sorted(set(ParametricUMAP().get_params()) - {"checkpoint", "memory", "verbose"})
    for i in range(n_tries):
        umap = pickle.loads(pickle.dumps(fitted))
        before = vars(umap).copy()
        if i % 2:
            name, value = str(rng.choice(names)), ODD[rng.integers(len(ODD))]
            umap.set_params(**{name: value})
            before = vars(umap).copy()
            call, said = (lambda umap=umap: umap.fit(X).embedding_), name
        else:
            container = str(rng.choice(list(ODD_X)))
            method = str(rng.choice(METHODS))
            rows = ODD_X[container](rng)
            call = lambda umap=umap, rows=rows, method=method: getattr(umap, method)(rows)  # noqa: E731
            name, value, said = method, container, ""
        yield _odd(call, umap, before, said, f"{name}={value!r}")


def _odd(call, umap, before, said, what):
    try:
        result = call()
    except (ValueError, TypeError, MemoryError, FloatingPointError) as error:
        unchanged = vars(umap).keys() == before.keys() and all(vars(umap)[name] is before[name] for name in before)
        named = said in str(error)
        return None if unchanged and named else f"{what}: {error!r}, unchanged: {unchanged}"
    except BaseException as error:
        return f"{what}: {error!r}"
    result = umap.embedding_ if isinstance(result, ParametricUMAP) else result
    finite = bool(np.isfinite(np.asarray(torch.as_tensor(result).float() if torch.is_tensor(result) else result)).all())
    return None if finite else f"{what}: not finite"


# ---- Fits ----


def random_fits(n_tries, rng):
    """Finite; `embedding_` is ``transform(X)``; the same seed, the same bits; pickles and files keep them."""
    outcomes = []

    @seeded(int(rng.integers(2**31)))
    @settings(
        max_examples=n_tries,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(rows=random_rows(), parameters=PARAMETERS, random_state=st.integers(0, 2**31 - 1))
    def fit(rows, parameters, random_state):
        assume(parameters.get("init") != "pca" or parameters.get("n_components", 2) <= rows.shape[1])
        outcomes.append(_fitted_well(rows, QUICK | parameters | {"random_state": random_state}))

    with mock.patch.object(defaults, "WHOLE_ROWS", 60):  # so that half of them are drawn in batches
        fit()
    return outcomes


def _fitted_well(rows, parameters):
    what = f"{type(rows).__name__} {rows.dtype} {rows.shape} {parameters}"
    try:
        umap = ParametricUMAP(**parameters).fit(rows)
        again = ParametricUMAP(**parameters).fit(rows)
        with TemporaryDirectory() as folder:
            umap.save(f"{folder}/umap")
            loaded = ParametricUMAP.load(f"{folder}/umap")
        copies = [again, loaded, pickle.loads(pickle.dumps(umap))]
        held = np.isfinite(umap.embedding_).all() and np.array_equal(umap.transform(rows), umap.embedding_)
        held &= all(np.array_equal(copy.transform(rows), umap.embedding_) for copy in copies)
        return None if held else what
    except BaseException as error:
        return f"{what}: {error!r}"


@st.composite
def random_rows(draw):
    """Rows of any shape, precision and unit, with offsets and duplicates; sparse, too."""
    n, width = draw(st.integers(10, 120)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    rows = rng.normal(size=(n, width)) * 10.0 ** draw(st.floats(-30, 30))
    rows += draw(st.sampled_from([0, 0, 0, 1, 100])) * np.abs(rows).max()
    rows = rows[rng.integers(n, size=n)] if draw(st.integers(0, 4)) == 0 else rows
    rows = rows.astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.integers(0, 4)) == 0:
        return sp.csr_array(np.where(rng.random(rows.shape) < 0.7, 0, rows))
    return rows


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from(values)
        for name, values in {
            "metric": ["euclidean", "cosine", "manhattan", "chebyshev", "correlation"],
            "init": ["spectral", "random", "pca"],
            "sampling": ["neighborhoods", "edges"],
            "n_components": [1, 2, 3, 8],
            "output_metric": ["euclidean", "haversine", "hyperboloid"],
            "densmap": [False, True],
            "output_dens": [False, True],
            "pca_variance": [0.9, 1.0],
            "min_dist": [0.0, 0.1, 0.9],
            "set_op_mix_ratio": [0.0, 0.5, 1.0],
            "local_connectivity": [1, 2.5],
            "encoder": ["mlp", "linear"],
            "unique": [False, True],
            "decoder": [False, True],
            "negative_sample_rate": [1, 5, 50],
            "optimizer": ["muon", "adam"],
            "n_waves": [0, 16],
            "n_guides": [0, 3],
            "global_correlation_weight": [0.0, 1.0],
        }.items()
    },
)


# Densities and other numbers of components are for flat maps.
FLAT = {"n_components", "densmap", "output_dens"}
PARAMETERS = OPTIONS.filter(
    lambda options: options.get("output_metric", "euclidean") == "euclidean" or not FLAT & {*options}
)


# ---- Children ----

FITTING = """
import sys, threading
import numpy as np
sys.path.insert(0, {here!r})
from faults import QUICK, X
from parametric_umap import ParametricUMAP
from sklearn.model_selection import GridSearchCV

how = QUICK | {{"n_epochs": 40, "random_state": 0, "n_jobs": 1}}
umap = ParametricUMAP(verbose={verbose}, **how)
search = GridSearchCV(umap, {{"min_dist": [0.0, 0.5]}}, cv=2)
if {bar}:
    from sklearn.callback import ProgressBar
    (search if {kind!r} == "search" else umap).set_callbacks(ProgressBar())
if {kind!r} == "partial_fit":
    umap.fit(X)
for _ in range({n_times}):
    before = vars(umap).copy()
    try:
        print("ready", file=sys.stderr, flush=True)
        while True:
            if {kind!r} == "search":
                search.fit(X)
            else:
                getattr(umap, {kind!r})(X)
                before = vars(umap).copy()
    except KeyboardInterrupt:
        left = [thread.name for thread in threading.enumerate() if not thread.daemon]
        same = vars(umap).keys() == before.keys() and (
            {kind!r} == "search" or all(vars(umap)[name] is before[name] for name in before)
        )
        fitted = hasattr(umap, "embedding_") and np.array_equal(umap.transform(X), umap.embedding_)
        if len(left) > 1 or not (same or fitted):
            sys.exit(f"{{left}}, as before: {{same}}, whole: {{fitted}}")
"""
INTERRUPTS_OF_A_CHILD = 10


def interrupts(n_tries, rng):
    """It ends, by itself, with nothing left that runs, and with the estimator as before, or whole."""
    n_left = n_tries
    while n_left:
        n_times = min(INTERRUPTS_OF_A_CHILD, n_left)
        n_left -= n_times
        kind, bar = str(rng.choice(["fit", "partial_fit", "search"])), bool(rng.random() < 0.5)
        how = {"kind": kind, "bar": bar, "verbose": bool(rng.random() < 0.5), "n_times": n_times}
        code = FITTING.format(here=str(HERE), **how)
        with _child(code, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
            n_ready = 0
            while n_ready < n_times and _wait_for(child, b"ready"):
                n_ready += 1
                time.sleep(rng.uniform(0, 1.0))
                child.send_signal(signal.SIGINT)
            failure = _ended_well(child, str(how))
        yield from [None] * (n_times - 1)
        yield failure or (None if n_ready == n_times else f"{how}: ended after {n_ready}")


KILLED = """
import os, sys
sys.path.insert(0, {here!r})
from faults import LONG, QUICK, X
import joblib
from parametric_umap import ParametricUMAP, checkpoint
checkpoint.SECONDS, checkpoint.TIMES_A_WRITE = 0, 0
kind, path = {kind!r}, {path!r}
umap = ParametricUMAP(n_jobs=1, random_state=0, **QUICK).fit(X)
print("ready", file=sys.stderr, flush=True)
while True:
    if kind == "save":
        umap.save(path)
    elif kind == "joblib.dump":
        joblib.dump(umap, path + ".new")
        os.replace(path + ".new", path)
    elif kind == "memory":
        ParametricUMAP(n_jobs=1, memory=path, random_state=0, **QUICK | {{"n_neighbors": 6}}).fit(X)
        joblib.Memory(path, verbose=0).clear()
    else:
        ParametricUMAP(checkpoint=path, **LONG).fit(X)
"""
LONG = QUICK | {"n_epochs": 300, "random_state": 0, "n_jobs": 1}


def kills(n_tries, rng):
    """The old file is whole, or the new one; the next run works, to the same bits; nothing is left beside it.

    ``joblib.dump`` is not atomic: its file takes the place of the old one when it is whole, as the documentation says.
    """
    umap = ParametricUMAP(n_jobs=1, random_state=0, **QUICK).fit(X)
    expected = {
        "checkpoint": ParametricUMAP(**LONG).fit(X).embedding_,
        "memory": ParametricUMAP(n_jobs=1, random_state=0, **QUICK | {"n_neighbors": 6}).fit(X).embedding_,
    }
    for i in range(n_tries):
        kind = ("save", "joblib.dump", "memory", "checkpoint")[i % 4]
        with TemporaryDirectory() as folder:
            path = f"{folder}/kept"
            if kind == "save":
                umap.save(path)
            elif kind == "joblib.dump":
                joblib.dump(umap, path)
            with _child(KILLED.format(here=str(HERE), kind=kind, path=path), stderr=subprocess.PIPE) as child:
                _wait_for(child, b"ready")
                time.sleep(rng.uniform(0, 1.0))
                child.kill()
            try:
                held = _kept_well(kind, path, umap, expected)
                yield None if held else kind
            except BaseException as error:
                yield f"{kind}: {error!r}"


def _kept_well(kind, path, umap, expected):
    if kind == "save":
        held = np.array_equal(ParametricUMAP.load(path).transform(X), umap.embedding_)
        umap.save(path)
        return held and os.listdir(Path(path).parent) == ["kept"]
    if kind == "joblib.dump":
        held = np.array_equal(joblib.load(path).transform(X), umap.embedding_)
        joblib.dump(umap, path)
        return held
    if kind == "memory":
        how = QUICK | {"n_neighbors": 6, "memory": path}
        return np.array_equal(ParametricUMAP(n_jobs=1, random_state=0, **how).fit(X).embedding_, expected[kind])
    embedding = ParametricUMAP(checkpoint=path, **LONG).fit(X).embedding_
    return np.array_equal(embedding, expected[kind]) and not os.listdir(Path(path).parent)


def damaged_files(n_tries, rng):
    """Refused by a ValueError that names the file, or equal."""
    umap = ParametricUMAP(random_state=0, decoder=True, **QUICK).fit(X)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "umap"
        umap.save(path)
        whole = path.read_bytes()
        header = 8 + int.from_bytes(whole[:8], "little")
        for i in range(n_tries):
            damaged = bytearray(whole)
            if i % 10 == 0:
                damaged = damaged[: rng.integers(len(whole))]
            elif i % 10 == 1:
                damaged[: rng.integers(1, len(whole))] = rng.bytes(int(rng.integers(1, 1000)))
            else:
                place = rng.integers(header) if i % 2 else rng.integers(header, len(whole))
                damaged[place] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                loaded = ParametricUMAP.load(path)
            except ValueError as error:
                yield None if str(path) in str(error) else f"{i}: {error}"
            except BaseException as error:
                yield f"{i}: {error!r}"
            else:
                same = np.array_equal(loaded.transform(X), umap.embedding_) and (loaded.graph_ != umap.graph_).nnz == 0
                yield None if same and np.array_equal(loaded.embedding_, umap.embedding_) else f"{i}: unequal"


def side_by_side(n_tries, rng):
    """Transforms in threads, beside a fit, and in forked, spawned and loky children are equal to one alone."""
    umap = ParametricUMAP(random_state=0, n_jobs=1, **QUICK).fit(X)
    torch.set_num_threads(1)
    n_each = -(-n_tries // 4)
    with ThreadPoolExecutor(8) as threads:
        beside = threads.submit(ParametricUMAP(random_state=0, **QUICK | {"n_epochs": 60}).fit, X)
        results = list(threads.map(umap.transform, [X] * n_each))
        beside.result()
    for method in ("fork", "spawn"):
        with get_context(method).Pool(2) as pool:
            results += pool.map_async(umap.transform, [X] * n_each).get(timeout=600)
    n_left = n_tries - len(results)
    results += joblib.Parallel(n_jobs=2, timeout=600)([joblib.delayed(umap.transform)(X)] * n_left)
    for result in results[:n_tries]:
        yield None if np.array_equal(result, umap.embedding_) else "unequal"


LIMITED = """
import resource, sys
import numpy as np
sys.path.insert(0, {here!r})
from faults import _virtual_bytes
from parametric_umap import ParametricUMAP
import numba, pynndescent, sklearn.neighbors
X = np.random.default_rng(0).normal(size=(20_000, 100)).astype(np.float32)
ParametricUMAP(n_epochs=1, batches_per_epoch=1, n_jobs=1).fit(X[:100])
resource.setrlimit(resource.RLIMIT_AS, 2 * (_virtual_bytes() + {n_bytes},))
try:
    umap = ParametricUMAP(n_epochs=1, n_jobs={n_jobs}, random_state=0).fit(X)
    sys.exit(0 if np.isfinite(umap.embedding_).all() else 3)
except MemoryError as error:
    sys.exit(0 if str(error) else 4)
"""


def memory_limits(n_tries, rng):
    """A MemoryError that says something, or a fit, by one thread and by two."""
    for i, n_bytes in enumerate(np.geomspace(2**20, 2**30, n_tries).astype(int)):
        limited = LIMITED.format(here=str(HERE), n_bytes=n_bytes, n_jobs=1 + i % 2)
        with _child(limited, stderr=subprocess.PIPE) as child:
            yield _ended_well(child, f"{n_bytes / 2**20:.0f} MiB, {1 + i % 2} threads")


def full_gpu(n_tries, rng):
    """A fit, on the device or on the host, or an error that says what is needed; a fit afterwards works."""
    rows = rng.normal(size=(20_000, 100)).astype(np.float32)
    for n_bytes in np.geomspace(2**24, 2**31, n_tries).astype(int):
        torch.cuda.empty_cache()
        taken = torch.empty(max(0, torch.cuda.mem_get_info()[0] - int(n_bytes)), dtype=torch.uint8, device="cuda")
        try:
            held = np.isfinite(ParametricUMAP(device="cuda", **QUICK).fit(rows).embedding_).all()
        except torch.OutOfMemoryError as error:
            held = "has no room for this fit" in str(error)
        except BaseException as error:
            held = repr(error)
        del taken
        torch.cuda.empty_cache()
        held = held is True and np.isfinite(ParametricUMAP(device="cuda", **QUICK).fit(X).embedding_).all()
        yield None if held else f"{n_bytes / 2**20:.0f} MiB free: {held}"


def _virtual_bytes():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _child(code, **settings):
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], **settings)


def _wait_for(child, word):
    """Read what a child says until it says a word; tell whether it did, within the limit."""
    limit = threading.Timer(LIMIT, child.kill)
    limit.start()
    try:
        return any(word in line for line in child.stderr)
    finally:
        limit.cancel()


def _ended_well(child, what):
    try:
        _, error = child.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        return f"{what}: did not end in {LIMIT} s"
    return None if child.returncode == 0 else f"{what}: {child.returncode} {error.decode()[-300:]}"


# By name: what tries it, how often, and what must hold.
FAULTS = {
    "odd inputs": (odd_inputs, 300, "an error that names the parameter, or a finite result; the estimator as before"),
    "random fits": (
        random_fits,
        3000,
        "finite, as `transform(X)`, the same bits by seed, pickle and file",
    ),
    "interrupts": (interrupts, 300, "nothing hangs, nothing runs on, the estimator as before or whole"),
    "kill -9": (kills, 200, "save, joblib.dump, memory, checkpoint: the file whole, the next run to the same bits"),
    "damaged files": (damaged_files, 1000, "refused by name, or equal"),
    "side by side": (side_by_side, 1000, "transforms in threads and in forked, spawned and loky children: equal"),
    "memory limits": (memory_limits, 20, "a clear MemoryError or a fit"),
}
if torch.cuda.is_available():
    FAULTS["a full GPU"] = full_gpu, 50, "a fit, on the device or the host, or an error that says what is needed"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {list(FAULTS)}; all by default")
    parser.add_argument("--share", type=float, default=1.0, help="of the tries that are wanted")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    main(arguments.faults or list(FAULTS), arguments.share, arguments.seed)
