"""The flow of a fit: rows -> neighbours -> graph -> initial positions -> trained encoder -> embedding."""

import numpy as np
import torch
from sklearn.utils import check_random_state

from .containers import as_numpy
from .decoder import new_decoder
from .encoder import Encoder, new_encoder, parts
from .engine import (
    EdgeSampler,
    MainEmbedding,
    NeighborhoodSampler,
    SpectralInit,
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
from .neighbors import checked_knn, disconnected, nearest_neighbors, neighbors_of_distances
from .output_metrics import OUTPUT_METRICS, placed
from .progress import Progress
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

# Batches of each phase where the user leaves their number open, as measured on data of 100 to 60,000 rows.
INIT_BATCHES = 50
MAIN_BATCHES = (400, 3000)
ROWS_PER_BATCH = 80
SAMPLERS = {"neighborhoods": NeighborhoodSampler, "edges": EdgeSampler}


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
    precomputed_distances : {array-like, sparse matrix} of shape (n_samples, n_samples), default=None
        Between the rows.
    landmarks : ndarray of shape (n_samples, n_components), float32, default=None
        Where rows should lie, NaN where they are free.
    start : torch.nn.Module, default=None
        A trained encoder to go on from, without the first phase; it is trained in place.
    slower : float, default=1.0
        What the learning rate of the second phase is divided by.
    """

    def __init__(
        self, parameters, X, n_neighbors, y=None, *, precomputed_distances=None, landmarks=None, start=None, slower=1.0
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
        self.progress = Progress(parameters.verbose, parameters.report_interval)

    def run(self, mapped_rows):
        """Train an encoder on the rows, and map rows by it.

        Parameters
        ----------
        mapped_rows : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_mapped, n_features)
            The rows of `embedding_`.

        Returns
        -------
        attributes : dict of str
            What `ParametricUMAP` keeps of a fit, by the attributes' names.
        """
        p, device = self.parameters, self.device
        # A module of the user's may draw from torch's global random state, which is lent a seed for the time.
        seed = self._draw_seed() if _is_module(p.encoder) or _is_module(p.decoder) else None
        with surroundings(device, p.n_jobs, seed):
            a, b = find_ab_params(p.spread, p.min_dist) if p.a is None else (float(p.a), float(p.b))
            given = self._given_positions()
            encoder = self._encoder() if self.start is None else self.start
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
            losses = self._train(encoder, neighbors, phases, reconstruction, generator)

            self.progress.stage("embedding")
            attributes = {
                "a_": a,
                "b_": b,
                "graph_": graph,
                "init_embedding_": aim,
                "encoder_": encoder,
                "device_": device,
                "loss_curve_": losses,
                "embedding_": as_numpy(embed(prepare, network, mapped_rows, device)),
            }
            if reconstruction is not None:
                attributes["decoder_"] = reconstruction.term.decoder
            if p.densmap or p.output_dens:
                mapped = as_numpy(embed(prepare, network, self.X, device))
                attributes["rad_orig_"] = log_radii(graph, *neighbors)
                attributes["rad_emb_"] = embedded_log_radii(mapped, self.n_neighbors)
        self.progress.stage("done")
        return attributes

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
        self.progress.stage(f"neighbors: {self.n_neighbors} of each of {n_samples} rows, metric {metric!r}")
        if self.precomputed_distances is not None:
            found = neighbors_of_distances(self.precomputed_distances, n_samples, self.n_neighbors)
        elif p.precomputed_knn is not None:
            found = checked_knn(p.precomputed_knn, n_samples, self.n_neighbors)
        else:
            found = nearest_neighbors(
                self.X,
                self.n_neighbors,
                metric=p.metric,
                metric_kwds=p.metric_kwds,
                device=self.device,
                n_jobs=p.n_jobs,
                random_state=self.random_state,
            )
        return disconnected(*found, metric, p.disconnection_distance)

    def _graph(self, indices, distances):
        p = self.parameters
        self.progress.stage("graph: fuzzy simplicial set")
        graph = fuzzy_simplicial_set(
            indices,
            distances,
            local_connectivity=p.local_connectivity,
            set_op_mix_ratio=p.set_op_mix_ratio,
            device=self.device,
        )
        if p.target_metric is None:
            return graph
        return supervised_graph(
            graph,
            self.y,
            p.target_metric,
            n_neighbors=min(p.target_n_neighbors or self.n_neighbors, self.X.shape[0]),
            metric_kwds=p.target_metric_kwds,
            weight=p.target_weight,
            random_state=self.random_state,
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
        self.progress.stage(f"initial positions: {p.init}")
        positions = initial_positions(
            p.init,
            self.X,
            graph,
            p.n_components,
            scale=p.init_scale,
            random_state=self.random_state,
            device=self.device,
        )
        positions = placed(positions, p.output_metric)
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
        if p.decoder is None or p.decoder is False:
            return None
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
            batches_per_epoch=p.batches_per_epoch or -(-batches // p.n_epochs),
            batch_size=p.batch_size,
            learning_rate=p.learning_rate / self.slower,
            terms=terms,
        )

    def _train(self, encoder, neighbors, phases, reconstruction, generator):
        """The losses of all phases, by name."""
        prepare, network = parts(encoder)
        rows = as_rows(self.X, prepare, self.device)
        gap = feature_gap(rows, neighbors[0])
        noise = self.parameters.input_noise * gap if self.parameters.input_noise else 0.0  # a gap may overflow
        precision = body_precision(self.device, gap) if isinstance(encoder, Encoder) else torch.float32
        losses = {"spectral_init": np.empty(0)}

        def on_epoch(phase, epoch, loss):
            self.progress.epoch(phase, epoch, loss)
            if reconstruction is not None and reconstruction.term in phase.terms:
                reconstruction.after_epoch(phase.batches_per_epoch)

        for phase in phases:
            n_batches = phase.batches_per_epoch
            self.progress.stage(f"{phase.name}: {phase.n_epochs} epochs of {n_batches} batches on {self.device}")
            losses[phase.name] = train(
                network, rows, phase, generator, input_noise=noise, precision=precision, on_epoch=on_epoch
            )
        return losses if reconstruction is None else losses | reconstruction.curves()

    def _draw_seed(self):
        return self.random_state.randint(np.iinfo(np.int32).max)

    def _generator(self):
        return torch.Generator().manual_seed(self._draw_seed())


def _is_module(given):
    return not (given is None or isinstance(given, (bool, str)))
