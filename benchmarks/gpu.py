"""What a GPU does with fits, part by part, in under four minutes: is it right, how fast, what if there is no room.

Needs only this library and its dependencies, and MNIST where it is at hand. Prints as it goes, and adds a line for each
part to results/gpu.jsonl. On a machine without a GPU it rehearses on the CPU with small data, and adds nothing.
"""

import argparse
import io
import threading
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stdout

import numpy as np
import torch
from data import load, mixture
from profile_fit import EpochProfiler, time_of
from record import append, versions
from reference_recipe import RECIPE, quality, stage_seconds

import parametric_umap.engine.rows as rows_module
from parametric_umap import ParametricUMAP, estimator
from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import EdgeSampler, MainEmbedding, NeighborhoodSampler, new_generator, train
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.neighbors import nearest_neighbors

DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
REHEARSAL = DEVICE.type == "cpu"
# Seconds to be reached on an H100 or H200: warm, and at the first call.
TARGETS = {"recipe": (0.25, 2), "5,000": (0.3, None), "60,000": (0.6, 2), "1,000,000": (6.5, None)}


def main(names):
    print(f"{torch.cuda.get_device_name(DEVICE) if not REHEARSAL else 'CPU, a rehearsal'}, torch {torch.__version__}")
    start = time.perf_counter()
    for name in names:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        try:
            figures = PARTS[name]()
        except Exception:  # the other parts are worth their time
            figures = {"failed": traceback.format_exc()[-900:]}
        for key, value in figures.items():
            print(f"  {key}: {value}", flush=True)
        if not REHEARSAL:
            line = {"work": name, "gpu": torch.cuda.get_device_name(DEVICE), "versions": versions()}
            append("gpu.jsonl", line | figures)
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def five_thousand():
    return load("MNIST 5,000")


def sixty_thousand():
    return load("MNIST 5,000" if REHEARSAL else "MNIST 60,000")


def million():
    return mixture(128, n_rows=20_000 if REHEARSAL else 1_000_000, n_unseen=5_000)


def fit(X, y=None, device=DEVICE, **parameters):
    return ParametricUMAP(device=device, random_state=0, **parameters).fit(X, y)


def timed(call):
    """Seconds of a call, to the end of what it left to the GPU, and its result."""
    _wait()
    start = time.perf_counter()
    result = call()
    _wait()
    return round(time.perf_counter() - start, 3), result


def _wait():
    if not REHEARSAL:
        torch.cuda.synchronize(DEVICE)


def figures_of(fitted, data):
    """k-NN accuracy, trustworthiness of fitted and unseen rows, recall of both."""
    X, y, X_unseen, y_unseen = data
    values = quality(X, y, fitted.embedding_, X_unseen, y_unseen, fitted.transform(X_unseen))
    return [round(float(value), 3) for value in values]


def same(first, second):
    return bool(np.array_equal(first.embedding_, second.embedding_))


@contextmanager
def replaced(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


# ---- Is it right? ----


def agreement():
    """does a map of the GPU agree with one of the CPU?"""
    data = five_thousand()
    on_cpu, on_gpu = (fit(data[0], device=device, n_epochs=1, batches_per_epoch=1) for device in ("cpu", DEVICE))
    differ = float(abs(on_cpu.graph_ - on_gpu.graph_).max())
    maps = {f"quality, {device}": figures_of(fit(data[0], device=device), data) for device in ("cpu", str(DEVICE))}
    return {"graphs differ by": differ} | maps


class Asking(torch.nn.Module):
    """A network that waits for the host, and so cannot be captured."""

    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(784, 64), torch.nn.Linear(64, 2)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(-hidden if hidden.sum().item() < 0 else hidden)


def kinds():
    """is every kind of fit captured, and does it repeat its bits?"""
    X, y = (part[:2000] for part in five_thousand()[:2])
    dropout = torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.Dropout(0.1), torch.nn.Linear(64, 2))
    of_kinds = {
        "default": {},
        "8 components": {"n_components": 8},
        "init pca": {"init": "pca", "n_components": 8},
        "cosine": {"metric": "cosine"},
        "correlation": {"metric": "correlation"},
        "manhattan": {"metric": "manhattan"},
        "labels": {"target_metric": "categorical"},
        "densMAP": {"densmap": True},
        "decoder": {"decoder": True, "reconstruction_validation": 0.1},
        "sphere": {"output_metric": "haversine"},
        "a module with dropout": {"encoder": dropout},
        "a module that waits": {"encoder": Asking()},
    }
    answers = {}
    for name, parameters in of_kinds.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            targets = y if "target_metric" in parameters else None
            first = fit(X, targets, **parameters)
            seconds, second = timed(lambda targets=targets, parameters=parameters: fit(X, targets, **parameters))
        captured = not any("captured" in str(warning.message) for warning in caught)
        answers[name] = {"seconds": seconds, "captured": captured, "same bits": same(first, second)}
    return answers


# ---- How fast? ----


def stages():
    """seconds by stage, of a first and of a warm fit, and how good the map is."""
    fits = {
        "recipe": (five_thousand(), RECIPE | {"verbose": False}),
        "5,000": (five_thousand(), {}),
        "60,000": (sixty_thousand(), {}),
        "1,000,000": (million(), {}),
    }
    answers = {}
    for name, (data, parameters) in fits.items():
        for call in ("first", "warm"):
            transcript = io.StringIO()
            with redirect_stdout(transcript):
                seconds, fitted = timed(lambda p=parameters, X=data[0]: fit(X, **p | {"verbose": True}))
            by_stage = {stage: round(float(value), 3) for stage, value in stage_seconds(transcript.getvalue()).items()}
            answers[f"{name}, {call}"] = {"seconds": seconds} | by_stage
        answers[f"{name}, target"] = TARGETS[name]
        answers[f"{name}, quality"] = figures_of(fitted, data)
    return answers


def kernels(n_listed=8):
    """the kernels of a training step."""
    answers = {}
    for name, data, parameters in (("60,000", sixty_thousand(), {}), ("recipe", five_thousand(), RECIPE)):
        profiler = EpochProfiler()
        with replaced(estimator, "Progress", profiler.watching(estimator.Progress)), redirect_stdout(io.StringIO()):
            fit(data[0], **parameters)
        entries = sorted(profiler.profile.key_averages(), key=time_of, reverse=True)
        n, total = sum(entry.count for entry in entries), sum(map(time_of, entries))
        answers[name] = {"operations": n // profiler.n_steps, "microseconds": round(total / profiler.n_steps)}
        for entry in entries[:n_listed]:
            answers[name][entry.key[:60]] = round(time_of(entry) / profiler.n_steps, 1)
    return answers


def steps(n_rows=20_000, n_features=160, batch_size=1024):
    """milliseconds of a training step, and what share of them its products and bytes would take at full speed."""
    n_steps = 10 if REHEARSAL else 400
    rows = torch.randn(n_rows, n_features, device=DEVICE)
    graph = fuzzy_simplicial_set(*nearest_neighbors(rows[:, :3].cpu().numpy(), 15), device=DEVICE)
    answers = {}
    for sampler in (NeighborhoodSampler, EdgeSampler):
        standardize = Standardize(np.zeros(n_features), 1.0)
        network = Encoder(standardize, 2, (160,) * 5, "silu", torch.Generator().manual_seed(0)).network.to(DEVICE)
        phase = MainEmbedding(
            sampler(graph, DEVICE),
            EdgeCrossEntropy(1.58, 0.9, 5, 1.0),
            n_epochs=2,
            batches_per_epoch=n_steps,
            batch_size=batch_size,
            learning_rate=1e-3,
        )
        ends = []
        how = {"input_noise": 0.1, "precision": torch.bfloat16, "matrices": network.hidden_matrices}
        on_epoch = lambda *_, ends=ends: ends.append(time.perf_counter())  # noqa: E731  (its loss has been waited for)
        train(network, rows, phase, new_generator(DEVICE, 0), on_epoch=on_epoch, **how)
        step_seconds = (ends[1] - ends[0]) / n_steps
        share = floor_seconds(network, phase) / step_seconds
        answers[sampler.__name__] = {"milliseconds": round(1e3 * step_seconds, 3), "share": round(share, 3)}
    return answers


def floor_seconds(network, phase):
    """What a step takes at least: its products at the speed of a large one, its bytes at that of a large copy."""
    n_encoded = phase.n_groups * phase.sampler.group_size
    weights = [parameter.numel() for parameter in network.parameters() if parameter.ndim == 2]
    flops = 2 * n_encoded * (3 * sum(weights) - weights[0])  # the input needs no gradient
    widths = [layer.out_features for layer in network.body if hasattr(layer, "out_features")]
    n_columns = len(range(0, n_encoded, max(1, n_encoded // phase.loss.n_columns)))
    activations = 2 * n_encoded * 6 * sum(widths)  # bfloat16; each written and read before and after it is activated
    forces = 4 * n_encoded * n_columns * 2  # the squared distances, written and read once
    optimizer = 4 * sum(parameter.numel() for parameter in network.parameters()) * 7
    return flops / product_speed() + (activations + forces + optimizer) / copy_speed()


def product_speed():
    size = 1024 if REHEARSAL else 8192
    a = torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16)
    timed(lambda: a @ a)
    return 10 * 2 * size**3 / timed(lambda: [a @ a for _ in range(10)])[0]


def copy_speed():
    size = 2**24 if REHEARSAL else 2**28
    a, b = (torch.empty(size, device=DEVICE) for _ in range(2))
    timed(lambda: b.copy_(a))
    return 10 * 2 * 4 * size / timed(lambda: [b.copy_(a) for _ in range(10)])[0]


# ---- What if there is no room? ----


def streaming():
    """a fit whose rows stay on the host, as if the GPU did not take them."""
    data = sixty_thousand()
    answers = {}
    with replaced(rows_module, "_room", lambda device: 1e7):
        for call in ("first", "warm"):
            answers[call], fitted = timed(lambda: fit(data[0]))
    return answers | {"quality": figures_of(fitted, data)}


def memory():
    """fits where hardly any of the GPU's memory is free, and one afterwards."""
    if REHEARSAL:
        return {"rehearsal": "nothing to fill"}
    X, answers = sixty_thousand()[0], {}
    for free in (6e8, 2.5e8):
        torch.cuda.empty_cache()
        taken = torch.empty(int(torch.cuda.mem_get_info(DEVICE)[0] - free), dtype=torch.uint8, device=DEVICE)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                answers[f"{free:.3g} bytes free"] = timed(lambda: fit(X))[0], [str(w.message)[:150] for w in caught]
        except Exception as error:
            answers[f"{free:.3g} bytes free"] = f"{type(error).__name__}: {str(error)[:300]}"
        del taken
    torch.cuda.empty_cache()
    return answers | {"afterwards": timed(lambda: fit(five_thousand()[0]))[0]}


# ---- Rows in any container, and fits side by side ----


def containers():
    """rows of NumPy, torch and CuPy: rows a second of transform, and the same bits of a fit."""
    X = five_thousand()[0]
    fitted, answers = fit(X), {}
    many = np.random.default_rng(0).random((20_000 if REHEARSAL else 1_000_000, 784), dtype=np.float32)
    for rows in (many, many.astype(np.float64)[: len(many) // 4], torch.from_numpy(many).to(DEVICE)):
        fitted.transform(rows)
        seconds, answer = timed(lambda rows=rows: fitted.transform(rows))
        kind = f"transform of {type(rows).__name__}, {rows.dtype}"
        answers[kind] = f"{len(rows) / max(seconds, 1e-9):.3g} rows/s, {type(answer).__name__}"
    answers["a fit of a tensor has the bits of one of NumPy's rows"] = same(fit(torch.from_numpy(X).to(DEVICE)), fitted)
    try:
        import cupy
    except ImportError:
        return answers | {"CuPy": "is not installed"}
    rows = cupy.asarray(X)
    return answers | {"CuPy": [same(fit(rows), fitted), type(fitted.transform(rows)).__name__]}


def threads(n_fits=3):
    """fits in threads side by side, against one alone."""
    X = five_thousand()[0]
    alone, expected = timed(lambda: fit(X))
    answers = {}

    def run(place):
        try:
            answers[place] = same(fit(X), expected)
        except Exception as error:
            answers[place] = f"{type(error).__name__}: {str(error)[:200]}"

    started = [threading.Thread(target=run, args=(place,)) for place in range(n_fits)]
    together, _ = timed(lambda: [[thread.start() for thread in started], [thread.join() for thread in started]])
    return {"one alone": alone, f"{n_fits} together": together, "same bits": list(answers.values())}


PARTS = {
    part.__name__: part for part in (agreement, kinds, stages, steps, kernels, streaming, memory, containers, threads)
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"what to run, of {', '.join(PARTS)}")
    main(parser.parse_args().parts)
