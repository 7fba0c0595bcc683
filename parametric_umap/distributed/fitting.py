"""A fit of several processes on one page: the stages of `fit_map`, and what is sent between them.

The rows of every cell move to one process. It finds their neighbours among its own rows and those of cells nearby, and
their rows of the graph. What needs no more than a sample of all rows, every process does for itself, in the same way,
and then takes the first one's: the encoder, its positions, and the first phase. The second they train together.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..containers import as_tensor
from ..encoder import parts
from ..engine import embed, feature_gap
from ..fit_data import FitData
from ..fitted import FittedMap
from ..fitting import Problem
from ..neighbors import Neighbors
from ..novelty import reference_distance, reference_rows
from ..parameters import possible_n_neighbors
from ..plan import Plan
from ..progress import Progress
from .graph import graph_around, graph_as_given, graph_together
from .group import Group
from .neighbors import cells_for_all, find_neighbors_together

SAMPLE_ROWS = 50_000  # of all processes, in each of them


def fit_map_together(data: FitData, parameters: Any, progress: Progress) -> FittedMap:
    """Fit a map of the rows of all processes.

    Parameters
    ----------
    data : FitData
        What this process was given.
    parameters : ParametricUMAP
        Say how; they are the same in every process.
    progress : Progress
        Is told of every stage and epoch.

    Returns
    -------
    fitted : FittedMap
        The model is the same in every process; `embedding_` and the rows of `graph_` are those of its own rows.

    Raises
    ------
    ValueError
        If there is no process group, or the fit asks for what needs all rows in one process.
    RuntimeError
        If another process has died or stalled.
    """
    group = Group()
    with group.agreed():
        check_possible(parameters, data)
    X = as_tensor(np.ascontiguousarray(data.rows, dtype=np.float32))
    n_rows, sample = sample_of_all(group, X)
    plan = Plan(parameters, possible_n_neighbors(parameters.n_neighbors, n_rows, stacklevel=6))
    base_seed = group.of_first(plan.runtime(data.rows).base_seed)
    with plan.runtime(data.rows, base_seed) as runtime:
        kept = {"references": reference_rows(sample.numpy()), "n_samples_seen": n_rows}
        sampled = replace(data, rows=sample.numpy(), **kept)
        encoder = group.of_first(plan.make_encoder(sampled.rows, runtime))
        progress.stage("neighbors", f"{plan.n_neighbors} of each of {n_rows} rows of {group.size} processes")
        cells = cells_for_all(group, sample, n_rows, plan.n_neighbors, runtime.seed("stages"))
        share, indices, distances = find_neighbors_together(group, X, cells, sample, plan.n_neighbors)
        progress.stage("graph", "fuzzy simplicial set")
        p = parameters
        how = {"local_connectivity": p.local_connectivity, "set_op_mix_ratio": p.set_op_mix_ratio}
        graph = graph_together(group, share, indices, distances, **how)
        around, rows, callers, places = graph_around(group, share, graph)
        gap = gap_of_all(group, rows, parts(encoder)[0], indices, places)
        plan.let_see_waves(encoder, gap, n_rows, runtime)
        problem = Problem(
            rows=rows.numpy(),
            neighbors=None,
            graph=around,
            positions=None,
            gap=gap,
            init_embedding=None,
            landmarks=None,
            reference_distance=reference_distance(parts(encoder)[0], sampled.references, runtime.device),
            seed=base_seed,
            group=group,
            n_own=len(share.rows),
            n_of_all=n_rows,
        )
        first_losses = learn_positions(group, plan, sampled, problem, encoder, progress, runtime)
        init_embedding = embed(*parts(encoder.eval()), data.mapped, runtime.device)
        problem = replace(problem, init_embedding=init_embedding)
        model, training = plan.make_training(problem, encoder, runtime)
        training.losses |= first_losses
        of_given = graph_as_given(group, share, graph, places, callers)

        def fitted(copied=False):
            return replace(FittedMap.of(sampled, problem, model, training, plan, copied=copied), graph_=of_given)

        run_phase(group, training, training.phases[-1], progress, lambda: fitted(copied=True).attributes())
        progress.stage("embedding")
        return fitted()


def check_possible(parameters, data):
    """Make sure that a fit of several processes can do what is asked for."""
    refused = {
        "metric": parameters.metric != "euclidean",
        "precomputed_knn": parameters.precomputed_knn is not None,
        "unique": parameters.unique,
        "disconnection_distance": parameters.disconnection_distance is not None,
        "target_metric": parameters.target_metric is not None,
        "decoder": parameters.decoder is not None and parameters.decoder is not False,
        "init": not isinstance(parameters.init, str),
        "sampling": parameters.sampling != "neighborhoods",
        "global_correlation_weight": bool(parameters.global_correlation_weight),
        "densmap": parameters.densmap,
        "output_dens": parameters.output_dens,
        "output_metric": parameters.output_metric != "euclidean",
        "warm_start": parameters.warm_start,
        "memory": parameters.memory is not None,
        "checkpoint": parameters.checkpoint is not None,
    }
    for name, is_refused in refused.items():
        if is_refused:
            value = getattr(parameters, name)
            raise ValueError(f"distributed=True does not go with {name}={value!r}; leave it at its default.")
    if data.landmarks is not None or data.precomputed_distances is not None:
        raise ValueError("distributed=True takes neither landmark_positions nor precomputed_distances.")
    if not isinstance(data.rows, np.ndarray):
        raise ValueError(f"distributed=True takes dense rows of NumPy; X is {type(data.rows).__name__}.")


def sample_of_all(group, X):
    """Evenly spaced rows of all processes, the same in each, and how many rows there are."""
    shapes = group.gather_alike(torch.tensor(X.shape, device=group.device))
    if (shapes[:, 1] != shapes[0, 1]).any():
        raise ValueError(f"the processes have rows of {shapes[:, 1].tolist()} features; all must have as many.")
    n_rows = int(shapes[:, 0].sum())
    if n_rows < 2:
        raise ValueError(f"all processes together have {n_rows} rows; a fit needs two at least.")
    before = int(shapes[: group.rank, 0].sum())
    wanted = torch.linspace(0, n_rows - 1, min(n_rows, SAMPLE_ROWS), dtype=torch.float64).long()
    here = wanted[(wanted >= before) & (wanted < before + len(X))] - before
    return n_rows, torch.cat(group.gather(X[here]))


def gap_of_all(group, rows, prepare, indices, places):
    """How far a row lies from its nearest neighbour, in each feature: the mean over the rows of all processes."""
    by_place = places.argsort()
    nearest = by_place[torch.searchsorted(places[by_place], indices[:, :2].contiguous())]
    gap = feature_gap(rows.numpy(), prepare, Neighbors(nearest.int(), torch.zeros(nearest.shape)))
    total = group.sum(torch.tensor([gap * len(indices), len(indices)], dtype=torch.float64))
    return float(total[0] / total[1])


def learn_positions(group, plan, sampled, problem, encoder, progress, runtime):
    """The first phase, on the sample; its losses. All processes have the first one's network afterwards."""
    losses = {}
    if plan.init is not None:
        progress.stage("initial positions", plan.init)
        neighbors = plan.find_neighbors(sampled, sampled.rows, runtime)
        graph = plan.build_graph(sampled, neighbors, runtime)
        positions = plan.find_positions(sampled, sampled.rows, graph, runtime)
        alone = replace(problem, rows=sampled.rows, graph=graph, positions=positions, group=None, n_of_all=None)
        _, training = plan.make_training(alone, encoder, runtime)
        run_phase(group, training, training.phases[0], progress, dict)
        losses = training.losses
    encoder.load_state_dict(group.of_first(encoder.state_dict()))
    return losses


def run_phase(group, training, phase, progress, attributes):
    """Train through a phase, and tell of it; it ends where a callback of any process wants it to."""

    def on_epoch(phase, epoch, loss):
        wants_to_stop = progress.epoch(phase, epoch, loss)
        return bool(group.sum(torch.tensor([1 if wants_to_stop else 0])))

    detail = f"{phase.n_epochs} epochs of {phase.batches_per_epoch} batches"
    with progress.phase(phase, detail, attributes):
        training.run(phase, on_epoch)
