"""The fits of a CUDA device: first call, warm calls, and how near training comes to what the device could do.

Needs only this library and numpy, and MNIST where it is at hand; prints a table and adds lines to results/gpu.jsonl.
"""

import argparse
import time

import numpy as np
import torch
from data import load, mixture
from record import append, versions
from reference_recipe import RECIPE, quality

from parametric_umap import ParametricUMAP
from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import EdgeSampler, MainEmbedding, NeighborhoodSampler, new_generator, train
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.neighbors import nearest_neighbors

# Seconds to be reached on an H200, warm and at the first call.
TARGETS = {"recipe": (0.3, 3), "60,000": (0.5, 5), "1,000,000": (6, None)}
SHARE = 0.5  # of the training's floor
WARM_CALLS = 3


def main(names):
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}\n")
    for name in names:
        line = {"work": name, "gpu": torch.cuda.get_device_name(device), "versions": versions()} | WORK[name](device)
        append("gpu.jsonl", line)
        print(shown(line), flush=True)


def shown(line):
    cells = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in line.items() if isinstance(value, float)]
    return f"{line['work']:<12}{'  '.join(cells)}"


# ---- Whole fits ----


def recipe(device):
    return fits(load("MNIST 5,000"), device, **RECIPE | {"verbose": False}) | targets("recipe")


def sixty_thousand(device):
    return fits(load("MNIST 60,000"), device) | targets("60,000")


def million(device):
    X, y, X_unseen, y_unseen = mixture(128, n_rows=1_000_000, n_unseen=10_000)
    return fits((X, y, X_unseen, y_unseen), device, n_warm=1) | targets("1,000,000")


def targets(name):
    warm, first = TARGETS[name]
    return {"target_warm_seconds": float(warm)} | ({"target_first_seconds": float(first)} if first else {})


def fits(data, device, n_warm=WARM_CALLS, **parameters):
    """Seconds of the first fit and the median of the warm ones, how good the map is, and the peak of GPU memory."""
    X, y, X_unseen, y_unseen = data
    torch.cuda.reset_peak_memory_stats(device)
    model = ParametricUMAP(device="cuda", random_state=0, **parameters)
    first, *warm = (seconds(lambda: model.fit(X), device) for _ in range(1 + n_warm))
    figures = quality(X, y, model.embedding_, X_unseen, y_unseen, model.transform(X_unseen))
    names = ("knn_accuracy", "trust_train", "trust_test", "recall_train", "recall_test")
    return {
        "first_seconds": first,
        "warm_seconds": float(np.median(warm)),
        "gpu_gigabytes": torch.cuda.max_memory_allocated(device) / 1e9,
    } | dict(zip(names, map(float, figures), strict=True))


def seconds(call, device):
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


# ---- Training steps against their floor ----


def steps(device, n_rows=20_000, n_features=160, batch_size=1024, n_steps=400):
    """Milliseconds of a captured step, and the share of it that its FLOPs or bytes would take at full speed."""
    rows = torch.randn(n_rows, n_features, device=device)
    graph = fuzzy_simplicial_set(*nearest_neighbors(rows[:, :3].cpu().numpy(), 15), device=device)
    measured = {}
    for sampler in (NeighborhoodSampler, EdgeSampler):
        standardize = Standardize(np.zeros(n_features), 1.0)
        network = Encoder(standardize, 2, (160,) * 5, "silu", torch.Generator().manual_seed(0)).network.to(device)
        phase = MainEmbedding(
            sampler(graph, device),
            EdgeCrossEntropy(1.58, 0.9, 5, 1.0),
            n_epochs=2,
            batches_per_epoch=n_steps,
            batch_size=batch_size,
            learning_rate=1e-3,
        )
        ends = []
        train(
            network,
            rows,
            phase,
            new_generator(device, 0),
            input_noise=0.1,
            precision=torch.bfloat16,
            on_epoch=lambda *_, ends=ends: ends.append(time.perf_counter()),  # the loss has been waited for
        )
        step_seconds = (ends[1] - ends[0]) / n_steps
        floor = floor_seconds(network, phase, device)
        measured |= {f"{sampler.__name__}_ms": 1e3 * step_seconds, f"{sampler.__name__}_share": floor / step_seconds}
    return measured | {"target_share": SHARE}


def floor_seconds(network, phase, device):
    """What a step takes at least: its products at the speed of a large one, its bytes at that of a large copy."""
    n_encoded = phase.n_groups * phase.sampler.group_size
    weights = [parameter.numel() for parameter in network.parameters() if parameter.ndim == 2]
    flops = 2 * n_encoded * (3 * sum(weights) - weights[0])  # the input needs no gradient
    widths = [layer.out_features for layer in network.body if hasattr(layer, "out_features")]
    n_columns = len(range(0, n_encoded, max(1, n_encoded // phase.loss.n_columns)))
    activations = 2 * n_encoded * 6 * sum(widths)  # bfloat16; each written and read before and after it is activated
    forces = 4 * n_encoded * n_columns * 2  # the squared distances, written and read once
    optimizer = 4 * sum(parameter.numel() for parameter in network.parameters()) * 7
    return flops / product_speed(device) + (activations + forces + optimizer) / copy_speed(device)


def product_speed(device, size=8192):
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds(lambda: a @ a, device)
    return 10 * 2 * size**3 / seconds(lambda: [a @ a for _ in range(10)], device)


def copy_speed(device, size=2**28):
    a, b = (torch.empty(size, device=device) for _ in range(2))
    seconds(lambda: b.copy_(a), device)
    return 10 * 2 * 4 * size / seconds(lambda: [b.copy_(a) for _ in range(10)], device)


WORK = {"steps": steps, "recipe": recipe, "60,000": sixty_thousand, "1,000,000": million}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", nargs="*", default=list(WORK), help=f"what to run, of {', '.join(WORK)}")
    main(parser.parse_args().work)
