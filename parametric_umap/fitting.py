"""The flow of a fit: rows -> neighbours -> graph -> initial positions -> trained encoder -> embedding."""

from copy import deepcopy
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_memory

from .caching import cached
from .containers import as_numpy
from .decoder import has_decoder, new_decoder
from .encoder import Encoder, new_encoder, parts
from .engine import (
    EdgeSampler,
    MainEmbedding,
    NeighborhoodSampler,
    SpectralInit,
    allotted_threads,
    as_rows,
    body_precision,
    embed,
    feature_gap,
    new_generator,
    resolve_device,
    surroundings,
    train,
)
from .graph import fuzzy_simplicial_set
from .initialization import checked_positions, initial_positions
from .losses import EdgeCrossEntropy, find_ab_params
from .neighbors import Neighbors, checked_knn, drop_distant, nearest_neighbors, neighbors_of_distances
from .novelty import reference_distance
from .output_metrics import OUTPUT_METRICS, placed
from .progress import PHASES
from .supervision import supervised_graph
from .terms import (
    Density,
    GlobalCorrelation,
    Landmarks,
    Reconstruction,
    ReconstructionCurve,
    embedded_log_radii,
    log_radii,
    positions_between,
    validation_rows,
)

# Batches of each phase where the user leaves their number open, as measured on data of 100 to 60,000 rows; those of the
# second in so many epochs, the default of `n_epochs`.
INIT_BATCHES = 50
MAIN_BATCHES = (400, 3000)
ROWS_PER_BATCH = 80
MAIN_EPOCHS = 30
SAMPLERS = {"neighborhoods": NeighborhoodSampler, "edges": EdgeSampler}


def stages(parameters, goes_on):
    """Name the stages of a fit.

    Parameters
    ----------
    parameters : ParametricUMAP
        Its parameters say how it is fitted.
    goes_on : bool
        Whether from a trained encoder.

    Returns
    -------
    names : tuple of str
        As the fit passes through them.
    """
    init = parameters.init if isinstance(parameters.init, str) else "given"
    if goes_on or init == "random":
        first = ()
    else:
        first = ("spectral_init",) if init == "given" else ("initial positions", "spectral_init")
    return ("neighbors", "graph", *first, "main_embedding", "embedding")


class Fit:
    """One fit of a map.

    Parameters
    ----------
    parameters : ParametricUMAP
        Its parameters say how; it is only read.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features), float32 or float64
        The rows; those of a tensor are used where they are, and `device` "auto" is there, too.
    n_neighbors : int
        Number of neighbours of each, itself counted; at most n_samples.
    y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
        Their targets.
    progress : Progress
        Is told of every stage and epoch.
    precomputed_distances : {array-like, sparse matrix} of shape (n_samples, n_samples), default=None
        Between the rows.
    landmarks : ndarray of shape (n_samples, n_components), float32, default=None
        Where rows should lie, NaN where they are free.
    start : tuple of (torch.nn.Module, torch.nn.Module or None), default=None
        A trained encoder and its decoder to go on from, without the first phase; they are trained in place.
    slower : float, default=1.0
        What the learning rate of the second phase is divided by.
    """

    def __init__(
        self,
        parameters,
        X,
        n_neighbors,
        y=None,
        *,
        progress,
        precomputed_distances=None,
        landmarks=None,
        start=None,
        slower=1.0,
    ):
        self.parameters = parameters
        self.X, self.y = X, y
        self.n_neighbors = n_neighbors
        self.precomputed_distances = precomputed_distances
        self.landmarks = landmarks
        self.start, self.slower = start, slower
        beside_rows = parameters.device == "auto" and isinstance(X, torch.Tensor)
        self.device = resolve_device(X.device if beside_rows else parameters.device)
        seed = parameters.random_state
        self.random_state = np.random.RandomState() if seed is None else check_random_state(seed)
        self.progress = progress
        self.losses = {phase: [] for phase in PHASES}
        # Drawn once and before all else: the stages up to the initial positions find the same for any network, and what
        # is drawn after them is the same whether they ran or were looked up.
        self.stage_seed = self._draw_seed()
        self.memory = check_memory(parameters.memory)
        self.n_threads = allotted_threads(parameters.n_jobs)

    def run(self, mapped_rows, place, references):
        """Train an encoder on the rows, and map rows by it.

        Parameters
        ----------
        mapped_rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_mapped, n_features)
            The rows of `embedding_`.
        place : slice or ndarray of shape (n_mapped,), int
            Where they are among the rows of the fit.
        references : {ndarray, csr_matrix, csr_array} of shape (n_references, n_features)
            The rows that are kept.

        Returns
        -------
        attributes : dict of str
            What `ParametricUMAP` keeps of a fit, by the attributes' names.
        """
        p, device = self.parameters, self.device
        # A module of the user's may draw from torch's global random state, which is lent a seed for the time.
        seed = self._draw_seed() if _is_module(p.encoder) or _is_module(p.decoder) else None
        with surroundings(device, self.n_threads, seed):
            a, b = find_ab_params(p.spread, p.min_dist) if p.a is None else (float(p.a), float(p.b))
            given = self._given_positions()
            encoder = self._encoder() if self.start is None else self.start[0]
            neighbors = self._neighbors()
            graph = self._graph(*neighbors)
            positions = self._positions(graph) if given is None else given
            prepare, network = parts(encoder.to(device))
            aim = as_numpy(embed(prepare, network, self.X, device)) if positions is None else positions

            generator = new_generator(device, self._draw_seed())
            terms = list(self._terms(graph, neighbors, a, b))
            reconstruction = self._reconstruction(encoder)
            if reconstruction is not None:
                terms.append(reconstruction.term)
            phases = self._phases(graph, positions, a, b, terms)
            known = {"a_": a, "b_": b, "graph_": graph, "init_embedding_": aim[place], "device_": device}
            known["reference_distance_"] = reference_distance(prepare, references, device)
            attributes = partial(self._attributes, known, neighbors, mapped_rows, place, encoder, reconstruction)
            self._train(encoder, neighbors, phases, reconstruction, generator, attributes)
            self.progress.stage("embedding")
            return attributes(copied=False)

    def _attributes(self, known, neighbors, mapped_rows, place, encoder, reconstruction, *, copied=True):
        """What `ParametricUMAP` keeps of a fit that ends now; with copies of the modules, if it does not."""
        p = self.parameters
        decoder = None if reconstruction is None else reconstruction.term.decoder
        if copied:
            encoder, decoder = deepcopy((encoder, decoder))
        prepare, network = parts(encoder.eval())
        attributes = {"encoder_": encoder, "embedding_": as_numpy(embed(prepare, network, mapped_rows, self.device))}
        attributes["loss_curve_"] = {name: np.array(losses, dtype=np.float64) for name, losses in self.losses.items()}
        if decoder is not None:
            attributes["decoder_"] = decoder.eval()
            attributes["loss_curve_"] |= reconstruction.curves()
        if p.densmap or p.output_dens:
            mapped = as_numpy(embed(prepare, network, self.X, self.device))
            attributes["rad_orig_"] = log_radii(known["graph_"], *neighbors)[place]
            attributes["rad_emb_"] = embedded_log_radii(mapped, self.n_neighbors, self.stage_seed)[place]
        return known | attributes

    def _encoder(self):
        p = self.parameters
        return new_encoder(
            p.encoder,
            self.X,
            p.n_components,
            hidden_layer_sizes=p.hidden_layer_sizes,
            activation=p.activation,
            pca_variance=p.pca_variance,
            generator=self._generator(),
        )

    def _neighbors(self):
        """The indices of every row's neighbours, and their distances."""
        p, n_samples = self.parameters, self.X.shape[0]
        metric = p.metric if self.precomputed_distances is None else "precomputed"
        self.progress.stage("neighbors", f"{self.n_neighbors} of each of {n_samples} rows, metric {metric!r}")
        if self.precomputed_distances is not None:
            found = neighbors_of_distances(self.precomputed_distances, n_samples, self.n_neighbors)
        elif p.precomputed_knn is not None:
            found = checked_knn(p.precomputed_knn, n_samples, self.n_neighbors)
        else:
            found = self._cached(nearest_neighbors, metric)(
                self.X,
                self.n_neighbors,
                metric=metric,
                metric_kwds=p.metric_kwds,
                device=self.device,
                n_jobs=self.n_threads,
                random_state=self.stage_seed,
            )
        return drop_distant(Neighbors.of(*found), metric, p.disconnection_distance).numpy()

    def _graph(self, indices, distances):
        p = self.parameters
        self.progress.stage("graph", "fuzzy simplicial set")
        graph = self._cached(fuzzy_simplicial_set)(
            indices,
            distances,
            local_connectivity=p.local_connectivity,
            set_op_mix_ratio=p.set_op_mix_ratio,
            device=self.device,
        )
        if p.target_metric is None:
            return graph
        return self._cached(supervised_graph, p.target_metric)(
            graph,
            self.y,
            p.target_metric,
            n_neighbors=min(p.target_n_neighbors or self.n_neighbors, self.X.shape[0]),
            metric_kwds=p.target_metric_kwds,
            weight=p.target_weight,
            n_jobs=self.n_threads,
            random_state=self.stage_seed,
        )

    def _given_positions(self):
        p = self.parameters
        if isinstance(p.init, str) or self.start is not None:
            return None
        return checked_positions(p.init, self.X.shape[0], p.n_components)

    def _positions(self, graph):
        """What the encoder learns first; None where it goes on from another fit, or starts at random."""
        p = self.parameters
        if self.start is not None or p.init == "random":
            return None
        self.progress.stage("initial positions", p.init)
        positions = self._cached(initial_positions)(
            p.init,
            self.X,
            graph,
            p.n_components,
            scale=p.init_scale,
            random_state=self.stage_seed,
            device=self.device,
        )
        positions = placed(np.array(positions), p.output_metric)  # a copy: what was looked up may be read-only
        return positions if self.landmarks is None else positions_between(self.landmarks, graph, positions)

    def _terms(self, graph, neighbors, a, b):
        """What the second phase asks of the coordinates, beside the graph."""
        p = self.parameters
        if self.landmarks is not None and p.landmark_weight:
            yield Landmarks(self.landmarks, p.landmark_weight, p.landmark_loss, self.device)
        if p.global_correlation_weight:
            yield GlobalCorrelation(p.global_correlation_weight)
        if p.densmap and p.dens_lambda:
            yield Density(
                log_radii(graph, *neighbors),
                a,
                b,
                weight=p.dens_lambda,
                share=p.dens_frac,
                var_shift=p.dens_var_shift,
                device=self.device,
            )

    def _reconstruction(self, encoder):
        """The training of a decoder, if one is asked for."""
        p = self.parameters
        if not has_decoder(p.decoder):
            return None
        decoder = self.start[1] if self.start is not None else None
        if decoder is None:
            decoder = new_decoder(p.decoder, encoder, self.X, p.n_components, p.reconstruction_loss, self._generator())
        held_out, validation = validation_rows(p.reconstruction_validation, self.X, self.random_state)
        term = Reconstruction(
            decoder,
            self.X,
            loss=p.reconstruction_loss,
            weight=p.reconstruction_weight,
            autoencoder=p.autoencoder,
            held_out=held_out,
            device=self.device,
        )
        return ReconstructionCurve(term, *parts(encoder), validation, self.device)

    def _phases(self, graph, positions, a, b, terms):
        p, n_samples = self.parameters, self.X.shape[0]
        if positions is not None:
            batches = -(-n_samples // p.init_batch_size)
            yield SpectralInit(
                torch.from_numpy(positions).to(self.device),
                n_epochs=p.init_epochs or max(1, -(-INIT_BATCHES // batches)),
                batch_size=p.init_batch_size,
                learning_rate=p.init_learning_rate,
            )
        fewest, most = MAIN_BATCHES
        batches = min(fewest + n_samples // ROWS_PER_BATCH, most)
        squares = OUTPUT_METRICS.get(p.output_metric)
        yield MainEmbedding(
            SAMPLERS[p.sampling](graph, self.device),
            EdgeCrossEntropy(a, b, p.negative_sample_rate, p.repulsion_strength, squares=squares),
            n_epochs=p.n_epochs,
            batches_per_epoch=p.batches_per_epoch or -(-batches // MAIN_EPOCHS),
            batch_size=p.batch_size,
            learning_rate=p.learning_rate / self.slower,
            terms=terms,
        )

    def _train(self, encoder, neighbors, phases, reconstruction, generator, attributes):
        """Pass through the phases, and write down the loss of every epoch."""
        prepare, network = parts(encoder)
        rows = as_rows(self.X, prepare, self.device)
        gap = feature_gap(rows, neighbors[0])
        noise = self.parameters.input_noise * gap if self.parameters.input_noise else 0.0  # a gap may overflow
        precision = body_precision(self.device, gap) if isinstance(encoder, Encoder) else torch.float32

        def on_epoch(phase, epoch, loss):
            self.losses[phase.name].append(loss)
            if reconstruction is not None and reconstruction.term in phase.terms:
                reconstruction.after_epoch(phase.batches_per_epoch)
            return self.progress.epoch(phase, epoch, loss)

        for phase in phases:
            detail = f"{phase.n_epochs} epochs of {phase.batches_per_epoch} batches on {self.device}"
            with self.progress.phase(phase, detail, attributes):
                train(network, rows, phase, generator, input_noise=noise, precision=precision, on_epoch=on_epoch)

    def _cached(self, stage, *metrics):
        return cached(stage, self.memory, *metrics, seeded=self.parameters.random_state is not None)

    def _draw_seed(self):
        return self.random_state.randint(np.iinfo(np.int32).max)

    def _generator(self):
        return torch.Generator().manual_seed(self._draw_seed())


def _is_module(given):
    return not (given is None or isinstance(given, (bool, np.bool_, str)))
