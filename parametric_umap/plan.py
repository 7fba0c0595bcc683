"""What the parameters ask of a fit: the parts that it is made of."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from . import defaults
from .checkpoint import Checkpoint, fingerprint
from .decoder import has_decoder, new_decoder
from .encoder import MAX_AXES, Encoder, new_encoder, parts
from .engine import (
    SAMPLERS,
    MainEmbedding,
    SpectralInit,
    Training,
    TrainingTogether,
    WholeSampler,
    as_rows,
    body_precision,
    feature_gap,
    main_embedding_together,
)
from .graph import Graph, fuzzy_graph
from .initialization import checked_positions, starting_positions
from .losses import EdgeCrossEntropy, find_ab_params
from .neighbors import Neighbors, checked_knn, drop_distant, find_neighbors, neighbors_of_distances
from .output_metrics import OUTPUT_METRICS, placed
from .room import check_room
from .runtime import Runtime
from .supervision import supervised_graph
from .terms import (
    Density,
    GlobalCorrelation,
    Landmarks,
    Reconstruction,
    Validation,
    positions_between,
    validation_rows,
)


def kind_of_init(init: Any, continues: bool) -> str | None:
    """Say how the positions that the encoder learns first are found.

    Parameters
    ----------
    init : str or array-like
        The parameter.
    continues : bool
        Whether the fit goes on from a trained encoder.

    Returns
    -------
    kind : {"spectral", "pca", "given"} or None
        None where there is no first phase.
    """
    kind = init if isinstance(init, str) else "given"
    return None if continues or kind == "random" else kind


def stages(init: Any, continues: bool) -> tuple[str, ...]:
    """Name the stages of a fit, in their order.

    Parameters
    ----------
    init, continues
        As in `kind_of_init`.

    Returns
    -------
    names : tuple of str
        As callbacks and the screen are told.
    """
    kind = kind_of_init(init, continues)
    searched = () if kind in (None, "given") else ("initial positions",)
    first = () if kind is None else (SpectralInit.name,)
    return ("neighbors", "graph", *searched, *first, MainEmbedding.name, "embedding")


class Model(NamedTuple):
    """The networks of a fit, on its device.

    Attributes
    ----------
    encoder : torch.nn.Module
        Maps rows to coordinates.
    decoder : torch.nn.Module or None
        Maps coordinates to rows.
    """

    encoder: torch.nn.Module
    decoder: torch.nn.Module | None


class Plan:
    """What a fit does, step by step; the one reader of the parameters.

    Parameters
    ----------
    parameters : ParametricUMAP
        Its parameters say how; it is only read.
    n_neighbors : int
        Number of neighbours of each row, itself counted; at most the number of rows.
    previous : Model or None, default=None
        Trained networks to go on from, without the first phase; they are trained in place.
    learning_rate_divisor : float, default=1.0
        What the learning rate of the second phase is divided by.
    """

    def __init__(self, parameters, n_neighbors, *, previous=None, learning_rate_divisor=1.0):
        self.parameters = parameters
        self.n_neighbors = n_neighbors
        self.n_components = parameters.n_components
        self.previous = previous
        self.learning_rate_divisor = learning_rate_divisor
        p = parameters
        self.a, self.b = find_ab_params(p.spread, p.min_dist) if p.a is None else (float(p.a), float(p.b))
        self.init = kind_of_init(p.init, previous is not None)
        self.searches_positions = self.init not in (None, "given")
        is_mlp = (p.encoder is None or p.encoder == "mlp") and np.size(p.hidden_layer_sizes) > 0  # None is 1
        self.n_guides = p.n_guides if is_mlp and self.init == "spectral" else 0
        self.keeps_radii = p.densmap or p.output_dens

    def checkpoint(self, data):
        """What is kept of the fit while it runs."""
        p = self.parameters
        return Checkpoint(p.checkpoint, lambda: fingerprint(p, data, self._device(data.rows), self.previous))

    def runtime(self, rows: Any, base_seed: int | None = None) -> Runtime:
        """Say where and how the fit runs."""
        p = self.parameters
        return Runtime(
            self._device(rows),
            n_jobs=defaults.n_jobs(rows.shape[0]) if p.n_jobs is None else p.n_jobs,
            memory=p.memory,
            random_state=p.random_state,
            seeds_torch=_is_module(p.encoder) or _is_module(p.decoder),
            base_seed=base_seed,
        )

    def _device(self, rows):
        """Where the rows are, if that is left to them."""
        beside_rows = self.parameters.device == "auto" and isinstance(rows, torch.Tensor)
        return rows.device if beside_rows else self.parameters.device

    # ---- Before training ----

    def check_room(self, data):
        """Make sure that the fit has the memory that it takes at the very least."""
        p, (n_samples, n_features) = self.parameters, data.rows.shape
        is_default = p.encoder is None or isinstance(p.encoder, str)
        hidden = np.ravel(self._hidden_layer_sizes(data.rows)).tolist() if is_default and p.encoder != "linear" else []
        narrowed = MAX_AXES if p.pca_variance < 1 and n_features > defaults.WIDE else n_features
        fewest = defaults.batches_per_epoch(n_samples, p.sampling, by_muon=True)
        main, first = p.batches_per_epoch or fewest, p.init_epochs or 1
        check_room(
            n_samples,
            self.n_neighbors,
            [min(n_features, narrowed) + 2 * (p.n_waves or 0), *hidden, p.n_components],
            rows_per_batch=2 * min(p.batch_size, n_samples * self.n_neighbors),
            batches_per_epoch=main,
            n_steps=main * p.n_epochs + first * -(-n_samples // p.init_batch_size),
        )

    def make_encoder(self, rows, runtime):
        """Make the encoder, or take the one before; on the device."""
        if self.previous is not None:
            return self.previous.encoder.to(runtime.device)
        p = self.parameters
        encoder = runtime.with_room(
            new_encoder,
            p.encoder,
            rows,
            p.n_components,
            hidden_layer_sizes=self._hidden_layer_sizes(rows),
            activation=p.activation,
            pca_variance=p.pca_variance,
            generator=runtime.generator("encoder"),
        )
        return encoder.to(runtime.device)

    def _hidden_layer_sizes(self, rows):
        asked = self.parameters.hidden_layer_sizes
        return defaults.hidden_layer_sizes(*rows.shape) if asked is None else asked

    def find_neighbors(self, data, rows, runtime):
        """Search the neighbours of every row, or read them from what is given."""
        p, n_samples = self.parameters, rows.shape[0]
        if data.precomputed_distances is not None:
            given = neighbors_of_distances(data.precomputed_distances, n_samples, self.n_neighbors)
            neighbors = Neighbors.of(*given, runtime.device)
        elif p.precomputed_knn is not None:
            neighbors = Neighbors.of(*checked_knn(p.precomputed_knn, n_samples, self.n_neighbors), runtime.device)
        else:
            neighbors = runtime.run(
                find_neighbors,
                rows,
                self.n_neighbors,
                metrics=(p.metric,),
                metric=p.metric,
                metric_kwds=p.metric_kwds,
                device=runtime.device,
                n_jobs=runtime.n_threads,
                random_state=runtime.seed("stages"),
            )
        return drop_distant(neighbors, self.metric_of(data), p.disconnection_distance)

    def metric_of(self, data):
        """The metric that measured the neighbours' distances."""
        return self.parameters.metric if data.precomputed_distances is None else "precomputed"

    def build_graph(self, data, neighbors, runtime):
        """Join the neighbours to the fuzzy simplicial set, and let the targets in."""
        p = self.parameters
        how = {"local_connectivity": p.local_connectivity, "set_op_mix_ratio": p.set_op_mix_ratio}
        graph = runtime.run(fuzzy_graph, neighbors, **how)
        if p.target_metric is None:
            return graph
        graph = runtime.run(
            supervised_graph,
            graph.to_scipy(),
            data.targets,
            p.target_metric,
            metrics=(p.target_metric,),
            n_neighbors=min(p.target_n_neighbors or self.n_neighbors, len(graph)),
            metric_kwds=p.target_metric_kwds,
            weight=p.target_weight,
            n_jobs=runtime.n_threads,
            random_state=runtime.seed("stages"),
        )
        return Graph.of(graph, runtime.device)

    def given_positions(self, n_samples, device):
        """The positions that the parameter `init` holds: what the encoder learns first. None if it holds none."""
        if self.init != "given":
            return None
        given = checked_positions(self.parameters.init, n_samples, self.parameters.n_components)
        return torch.from_numpy(given).to(device)

    def find_positions(self, data, rows, graph, runtime):
        """Find what the encoder learns first: a tensor of shape (n_samples, n_components + n_guides), float32."""
        p = self.parameters
        how = {
            "scale": p.init_scale,
            "random_state": runtime.seed("stages"),
            "n_guides": min(self.n_guides, rows.shape[0]),
        }
        found = runtime.run(starting_positions, p.init, rows, graph, p.n_components, **how)
        positions = placed(found[:, : p.n_components], p.output_metric)
        if data.landmarks is not None:
            between = positions_between(data.landmarks, graph.to_scipy(), positions.cpu().numpy())
            positions = torch.from_numpy(between).to(runtime.device)
        return torch.cat([positions, found[:, p.n_components :]], dim=1)

    def measure_gap(self, encoder, rows, neighbors, runtime):
        """Measure how near neighbours lie in what the network takes, and let a new one see waves."""
        gap = feature_gap(rows, parts(encoder)[0], neighbors)
        self.let_see_waves(encoder, gap, rows.shape[0], runtime)
        return gap

    def let_see_waves(self, encoder, gap, n_samples, runtime):
        """Let a new encoder of ours see waves, if neighbours lie near enough."""
        if isinstance(encoder, Encoder) and self.previous is None:
            asked = self.parameters.n_waves
            n_waves = defaults.n_waves(gap, n_samples) if asked is None else asked
            parts(encoder)[1].see_waves(n_waves, gap, runtime.generator("waves"))

    # ---- Training ----

    def make_training(self, problem, encoder, runtime):
        """Make the decoder and the phases, and be ready to train."""
        prepare, network = parts(encoder)
        reconstruction = self._reconstruction(problem, encoder, runtime)
        terms = [*self._terms(problem), *([] if reconstruction is None else [reconstruction])]
        rows = as_rows(problem.rows, prepare, runtime.device)
        is_ours = isinstance(encoder, Encoder)
        matrices = network.hidden_matrices if is_ours and self.parameters.optimizer == "muon" else []
        rules = {"by_muon": bool(matrices), "gap": problem.gap if is_ours else np.inf}  # of yours, rows have any unit
        group, draws = problem.group, "training"
        if group is not None:
            draws += f" of process {group.rank}"
        training = (Training if group is None else partial(TrainingTogether, group))(
            network,
            rows,
            list(self._phases(problem, self._guides(problem, network, runtime), rules, terms)),
            runtime.generator(draws, runtime.device),
            input_noise=self._input_noise(problem.gap, (problem.n_samples, rows.shape[1]), is_ours),
            precision=self._precision(network, problem) if is_ours else torch.float32,
            matrices=matrices,
            shares_cores=is_ours and group is None,
        )
        return Model(encoder, None if reconstruction is None else reconstruction.decoder), training

    def _input_noise(self, gap, shape, is_ours):
        """The standard deviation of the noise on every feature."""
        input_noise = self.parameters.input_noise
        if input_noise is None:
            input_noise = defaults.input_noise(gap, *shape) if is_ours else defaults.NOISE
        deviation = input_noise and input_noise * gap  # the gap may be infinite
        if not deviation < float(np.finfo(np.float32).max) ** 0.5:
            raise ValueError(f"input_noise={input_noise} is more than the network can be trained with.")
        return deviation

    def _precision(self, network, problem):
        """What the default network's products are rounded to; with waves its first layer is not."""
        return body_precision(problem.device, problem.gap if network.waves is None else np.inf)

    def _guides(self, problem, network, runtime):
        """What makes the coordinates of the guides, if there are any."""
        n_guides = 0 if problem.positions is None else problem.positions.shape[1] - self.n_components
        return network.new_guides(n_guides, runtime.generator("guides")).to(runtime.device) if n_guides else None

    def _phases(self, problem, guides, rules, terms):
        p, n_samples = self.parameters, problem.n_samples
        if problem.positions is not None:
            yield SpectralInit(
                problem.positions,
                n_epochs=p.init_epochs or defaults.init_epochs(n_samples, p.init_batch_size),
                batch_size=p.init_batch_size,
                learning_rate=p.init_learning_rate,
                guides=guides,
            )
        squares = OUTPUT_METRICS.get(p.output_metric)
        loss = EdgeCrossEntropy(self.a, self.b, p.negative_sample_rate, p.repulsion_strength, squares=squares)
        how = {
            "n_epochs": p.n_epochs,
            "batches_per_epoch": p.batches_per_epoch or defaults.batches_per_epoch(n_samples, p.sampling, **rules),
            "batch_size": p.batch_size,
            "learning_rate": p.learning_rate / self.learning_rate_divisor,
        }
        if problem.group is not None:
            sampler = SAMPLERS[p.sampling](problem.graph, problem.device, n_drawn=problem.n_own)
            yield main_embedding_together(problem.group, sampler, n_samples, loss, **how)
            return
        sampler = WholeSampler if defaults.is_whole(n_samples, p.sampling) else SAMPLERS[p.sampling]
        yield MainEmbedding(sampler(problem.graph, problem.device), loss, terms=terms, **how)

    def _terms(self, problem):
        """What the second phase asks of the coordinates, beside the graph and the decoder."""
        p, device = self.parameters, problem.device
        if problem.landmarks is not None and p.landmark_weight:
            yield Landmarks(problem.landmarks, p.landmark_weight, p.landmark_loss, device)
        if p.global_correlation_weight:
            yield GlobalCorrelation(p.global_correlation_weight)
        if p.densmap and p.dens_lambda:
            yield Density(
                problem.log_radii,
                self.a,
                self.b,
                weight=p.dens_lambda,
                share=p.dens_frac,
                var_shift=p.dens_var_shift,
                device=device,
            )

    def _reconstruction(self, problem, encoder, runtime):
        """The training of a decoder, if one is asked for."""
        p, device = self.parameters, problem.device
        if not has_decoder(p.decoder):
            return None
        decoder = None if self.previous is None else self.previous.decoder
        if decoder is None:
            generator = runtime.generator("decoder")
            decoder = new_decoder(p.decoder, encoder, problem.rows, p.n_components, p.reconstruction_loss, generator)
        drawn = np.random.RandomState(runtime.seed("validation"))
        held_out, validation = validation_rows(p.reconstruction_validation, problem.rows, drawn)
        # To far rows, such as broken readings, squares would give all the weight.
        draws_in = isinstance(encoder, Encoder) and p.reconstruction_loss == "mse"
        draw_in = encoder.standardize.drawn_in if draws_in else torch.Tensor.float
        if validation is not None:
            validation = Validation(*parts(encoder), validation, p.reconstruction_loss, draw_in, device)
        return Reconstruction(
            decoder,
            problem.rows,
            loss=p.reconstruction_loss,
            weight=p.reconstruction_weight,
            autoencoder=p.autoencoder,
            held_out=held_out,
            draw_in=draw_in,
            validation=validation,
            device=device,
        )


def _is_module(given: Any) -> bool:
    return not (given is None or isinstance(given, (bool, np.bool_, str)))
