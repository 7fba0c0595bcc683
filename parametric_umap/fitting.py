"""A fit on one page: rows -> neighbours -> graph -> initial positions -> trained encoder -> embedding."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .encoder import parts
from .engine import embed
from .fit_data import FitData
from .fitted import FittedMap
from .graph import Graph
from .neighbors import Neighbors
from .novelty import reference_distance
from .plan import Plan
from .progress import Progress
from .terms import log_radii
from .typing import FloatArray


@dataclass(frozen=True, eq=False)
class Problem:
    """What is known before training, on the device of the fit.

    Attributes
    ----------
    rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows; on the device, if it takes them.
    neighbors : Neighbors or None
        Of every row; None if this process does not have those of all.
    graph : Graph
        Their fuzzy simplicial set.
    positions : Tensor of shape (n_samples, n_components + n_guides), float32, or None
        What the encoder learns first; after their coordinates on the map those of the guides.
    gap : float
        How far a row lies from its nearest neighbour, in each feature that the network takes.
    init_embedding : Tensor of shape (n_samples, n_components), float32, or None
        The positions on the map; without, where the encoder puts the rows before it learns. None if this process does
        not have those of all.
    landmarks : ndarray of shape (n_samples, n_components), float32, or None
        Where rows should lie, NaN where they are free.
    reference_distance : float
        How far the rows that are kept lie from each other.
    seed : int
        Of what is searched once more after training.
    group : Group or None, default=None
        The processes that have rows of the same map; None if this one has all of them.
    n_own : int or None, default=None
        The first rows, so many, are this process's; those behind are others', and have edges with these.
    n_of_all : int or None, default=None
        Number of rows of all processes.
    """

    rows: Any
    neighbors: Neighbors | None
    graph: Graph
    positions: torch.Tensor | None
    gap: float
    init_embedding: torch.Tensor | None
    landmarks: FloatArray | None
    reference_distance: float
    seed: int
    group: Any = None
    n_own: int | None = None
    n_of_all: int | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows of the map."""
        return len(self.graph) if self.n_of_all is None else self.n_of_all

    @property
    def device(self) -> torch.device:
        return self.graph.device

    @cached_property
    def log_radii(self) -> NDArray[np.float64]:
        """The local radii of the rows, of shape (n_samples,); only densMAP and `output_dens` ask for them."""
        assert self.neighbors is not None  # several processes have no densities
        return log_radii(self.graph.to_scipy(), *self.neighbors.numpy())


def fit_map(data: FitData, plan: Plan, progress: Progress) -> FittedMap:
    """Fit a map.

    Parameters
    ----------
    data : FitData
        What it learns from.
    plan : Plan
        What it does.
    progress : Progress
        Is told of every stage and epoch.

    Returns
    -------
    fitted : FittedMap
        What `ParametricUMAP` keeps.
    """
    plan.check_room(data)
    checkpoint = plan.checkpoint(data)
    with plan.runtime(data.rows, checkpoint.seed) as runtime:
        checkpoint.keep_seed(runtime.base_seed)
        rows = runtime.place(data.rows)
        positions = plan.given_positions(rows.shape[0], runtime.device)
        encoder = plan.make_encoder(rows, runtime)

        searched = f"{plan.n_neighbors} of each of {rows.shape[0]} rows, metric {plan.metric_of(data)!r}"
        progress.stage("neighbors", searched)
        neighbors = checkpoint.stage("neighbors", plan.find_neighbors, data, rows, runtime)
        progress.stage("graph", "fuzzy simplicial set")
        graph = checkpoint.stage("graph", plan.build_graph, data, neighbors, runtime)
        if plan.searches_positions:
            progress.stage("initial positions", plan.init)
            positions = checkpoint.stage("positions", plan.find_positions, data, rows, graph, runtime)

        gap = plan.measure_gap(encoder, rows, neighbors, runtime)
        prepare, network = parts(encoder)
        if positions is None:
            init_embedding = embed(prepare, network, rows, runtime.device)
        else:
            init_embedding = positions[:, : plan.n_components]
        problem = Problem(
            rows=rows,
            neighbors=neighbors,
            graph=graph,
            positions=positions,
            gap=gap,
            init_embedding=init_embedding,
            landmarks=data.landmarks,
            reference_distance=reference_distance(prepare, data.references, runtime.device),
            seed=runtime.seed("stages"),
        )
        model, training = plan.make_training(problem, encoder, runtime)
        checkpoint.resume(training)
        fitted = partial(FittedMap.of, data, problem, model, training, plan)

        def attributes_of_now():
            return fitted(copied=True).attributes()

        def on_epoch(phase, epoch, loss):
            checkpoint.after_epoch(training)
            return progress.epoch(phase, epoch, loss)

        for phase in training.phases:
            detail = f"{phase.n_epochs} epochs of {phase.batches_per_epoch} batches on {runtime.device}"
            with progress.phase(phase, detail, attributes_of_now):
                training.run(phase, on_epoch)
        progress.stage("embedding")
        result = fitted()
        checkpoint.remove()
        return result
