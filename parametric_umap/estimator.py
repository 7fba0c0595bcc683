"""The estimator: parameters, validation, the flow of `fit`, and what is kept of it."""

from contextlib import contextmanager
from copy import deepcopy
from numbers import Integral, Real
from warnings import warn

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from .encoder import ACTIVATIONS, Encoder, Standardize, copy_of, parts
from .engine import (
    EdgeSampler,
    MainEmbedding,
    NeighborhoodSampler,
    SpectralInit,
    as_rows,
    body_precision,
    device_or_cpu,
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
from .neighbors import METRICS, check_metric, nearest_neighbors
from .progress import Progress, check_report_interval

# Batches of each phase where the user leaves their number open, as measured on data of 100 to 60,000 rows.
INIT_BATCHES = 50
MAIN_BATCHES = (400, 3000)
ROWS_PER_BATCH = 80
SAMPLERS = {"neighborhoods": NeighborhoodSampler, "edges": EdgeSampler}


class ParametricUMAP(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Uniform manifold approximation and projection by a neural network.

    The encoder is trained in two phases on the neighbour graph of the rows: it first learns the graph's spectral
    embedding (``spectral_init``), then the graph itself, by cross-entropy over sampled edges (``main_embedding``). Any
    row, fitted or new, is then mapped by one forward pass.

    Parameters
    ----------
    n_neighbors : int, default=15
        Number of neighbours of each row, itself counted, at least 2. More show more of the global structure, fewer
        more of the local. Where there are too few rows, as many as fit are taken, with a warning.
    n_components : int, default=2
        Number of coordinates of the embedding.
    metric : {"euclidean", "cosine", "manhattan", "chebyshev", "minkowski"}, default="euclidean"
        The distance that makes neighbours; for sparse rows one of the first three.
    metric_kwds : dict or None, default=None
        Arguments of the metric: ``{"p": order}`` for "minkowski", none for the others.
    min_dist : float, default=0.1
        How close points may come in the embedding; at least 0 and at most `spread`.
    spread : float, default=1.0
        The scale of the embedding: over this distance beyond `min_dist` similarity falls to 1/e.
    a, b : float or None, default=None
        The similarity curve 1 / (1 + a d^{2b}); both or neither. None fits them to `min_dist` and `spread`.
    set_op_mix_ratio : float, default=1.0
        From 0, where only mutual neighbours are joined in the graph (fuzzy intersection), to 1, where all are (union).
    local_connectivity : float, default=1.0
        Number of nearest neighbours to which every row is connected in full; at least 0.
    repulsion_strength : float, default=1.0
        Weight of the negative edges' loss; at least 0.
    negative_sample_rate : int, default=5
        Number of negative edges to a positive one. All are made of the rows of one batch, so more cost no more.
    encoder : torch.nn.Module or None, default=None
        The network. It is called with rows as they are given, as a float32 tensor of shape (n_rows, n_features), and
        must give (n_rows, n_components). It is copied, with its weights, and never changed; parameters that require no
        gradient stay as they are. None makes a fully connected network that standardizes its input.
    hidden_layer_sizes : list or tuple of int, default=(160, 160, 160, 160, 160)
        Widths of the default encoder's hidden layers; empty for a linear map.
    activation : {"silu", "relu", "gelu", "elu", "tanh"}, default="silu"
        What follows each of them.
    pca_variance : float, default=0.95
        Share of the variance that the default encoder sees of rows of more than 128 features, above 0 and at most 1:
        it takes as many of their leading principal components as hold this share, 256 at most. With 1 it takes the
        features themselves.
    input_noise : float, default=0.5
        Length of the Gaussian noise that is added to the rows in training, as a multiple of the median distance from a
        row to its nearest neighbour; at least 0. It makes the map smooth between the rows, so that unseen ones find
        their place; less follows the fitted rows more closely.
    init : {"spectral", "pca", "random"} or array-like of shape (n_samples, n_components), default="spectral"
        The positions that the encoder learns first: the graph's spectral embedding, the first principal components, or
        those given. With "random" there is no first phase: the encoder starts from its initial weights.
    init_scale : float, default=3.3
        Standard deviation of the "spectral" positions, and of the first coordinate of the "pca" ones.
    init_epochs : int or None, default=None
        Number of passes over the rows in phase ``spectral_init``; None makes about 50 batches, one pass at least.
    init_batch_size : int, default=500
        Number of rows in a batch of that phase.
    init_learning_rate : float, default=0.01
        Learning rate of that phase; it falls to zero along half a cosine.
    n_epochs : int, default=30
        Number of epochs of phase ``main_embedding``.
    batches_per_epoch : int or None, default=None
        Number of batches in an epoch of that phase. None makes about 400 batches in all epochs together, and one more
        for every 80 rows, at most 3,000.
    sampling : {"neighborhoods", "edges"}, default="neighborhoods"
        What a batch of that phase is made of: neighbourhoods of random rows, with all edges within each, or single
        edges, each drawn as often as its weight says, as umap-learn does. Neighbourhoods learn several times faster;
        they give more weight to the edges of tight groups.
    batch_size : int, default=1024
        Number of positive edges in a batch of that phase, and half the number of rows in it; neighbourhoods are as many
        as have that number of rows.
    learning_rate : float, default=0.01
        Learning rate of that phase; it falls to zero along half a cosine.
    device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"} or torch.device, default="auto"
        Where the network is trained and applied. "auto" takes CUDA where there is one, else the CPU.
    n_jobs : int or None, default=None
        Number of threads of a fit on the CPU; -1 takes all processors, None leaves torch's and numba's own settings.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random. The same integer gives the same bits on the same machine. The global random states of
        numpy and torch are neither read nor changed; None seeds from the operating system.
    verbose : bool or int, default=False
        Whether each stage and the losses are printed, with the seconds since the fit began.
    report_interval : int or dict, default=5
        Number of epochs from one printed loss to the next, or a dict of it for ``"spectral_init"`` and
        ``"main_embedding"``.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_samples, n_components), float32
        Where the encoder puts the fitted rows: the same as ``transform(X)``.
    graph_ : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set: how strongly rows are neighbours, from 0 to 1.
    encoder_ : torch.nn.Module
        The trained network, in evaluation mode on `device_`. It maps a tensor of rows to their coordinates.
    init_embedding_ : ndarray of shape (n_samples, n_components), float32
        The positions that phase ``spectral_init`` aimed at; with ``init="random"``, where the encoder's initial weights
        put the rows.
    a_, b_ : float
        The similarity curve.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,), float64
        Mean loss of each epoch, by the name of the phase.
    device_ : torch.device
        Where the encoder is. A model loaded where its device is missing is put on the CPU.
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : ndarray of shape (n_features_in_,), object
        Their names, where all are strings.

    References
    ----------
    McInnes, Healy, Melville 2018, UMAP: Uniform Manifold Approximation and Projection, arXiv 1802.03426.

    Sainburg, McInnes, Gentner 2021, Parametric UMAP Embeddings for Representation and Semisupervised Learning, Neural
    Computation 33.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from parametric_umap import ParametricUMAP
    >>> X, X_new = train_test_split(load_digits().data, random_state=0)
    >>> umap = ParametricUMAP(random_state=0).fit(X)
    >>> umap.embedding_.shape
    (1347, 2)
    >>> umap.transform(X_new).shape
    (450, 2)
    """

    _parameter_constraints = {
        "n_neighbors": [Interval(Integral, 2, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(METRICS))],
        "metric_kwds": [dict, None],
        "min_dist": [Interval(Real, 0, None, closed="left")],
        "spread": [Interval(Real, 0, None, closed="neither")],
        "a": [Interval(Real, 0, None, closed="neither"), None],
        "b": [Interval(Real, 0, None, closed="neither"), None],
        "set_op_mix_ratio": [Interval(Real, 0, 1, closed="both")],
        "local_connectivity": [Interval(Real, 0, None, closed="left")],
        "repulsion_strength": [Interval(Real, 0, None, closed="left")],
        "negative_sample_rate": [Interval(Integral, 1, None, closed="left")],
        "encoder": [torch.nn.Module, None],
        "hidden_layer_sizes": [list, tuple],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "pca_variance": [Interval(Real, 0, 1, closed="right")],
        "input_noise": [Interval(Real, 0, None, closed="left")],
        "init": [StrOptions({"spectral", "pca", "random"}), "array-like"],
        "init_scale": [Interval(Real, 0, None, closed="neither")],
        "init_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "init_batch_size": [Interval(Integral, 1, None, closed="left")],
        "init_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batches_per_epoch": [Interval(Integral, 1, None, closed="left"), None],
        "sampling": [StrOptions(set(SAMPLERS))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str, torch.device],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "report_interval": [Interval(Integral, 1, None, closed="left"), dict],
    }

    def __init__(
        self,
        n_neighbors=15,
        n_components=2,
        *,
        metric="euclidean",
        metric_kwds=None,
        min_dist=0.1,
        spread=1.0,
        a=None,
        b=None,
        set_op_mix_ratio=1.0,
        local_connectivity=1.0,
        repulsion_strength=1.0,
        negative_sample_rate=5,
        encoder=None,
        hidden_layer_sizes=(160, 160, 160, 160, 160),
        activation="silu",
        pca_variance=0.95,
        input_noise=0.5,
        init="spectral",
        init_scale=3.3,
        init_epochs=None,
        init_batch_size=500,
        init_learning_rate=1e-2,
        n_epochs=30,
        batches_per_epoch=None,
        sampling="neighborhoods",
        batch_size=1024,
        learning_rate=1e-2,
        device="auto",
        n_jobs=None,
        random_state=None,
        verbose=False,
        report_interval=5,
    ):
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.metric = metric
        self.metric_kwds = metric_kwds
        self.min_dist = min_dist
        self.spread = spread
        self.a = a
        self.b = b
        self.set_op_mix_ratio = set_op_mix_ratio
        self.local_connectivity = local_connectivity
        self.repulsion_strength = repulsion_strength
        self.negative_sample_rate = negative_sample_rate
        self.encoder = encoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.pca_variance = pca_variance
        self.input_noise = input_noise
        self.init = init
        self.init_scale = init_scale
        self.init_epochs = init_epochs
        self.init_batch_size = init_batch_size
        self.init_learning_rate = init_learning_rate
        self.n_epochs = n_epochs
        self.batches_per_epoch = batches_per_epoch
        self.sampling = sampling
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.report_interval = report_interval

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the map.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to be mapped; at least two. Sparse formats other than CSR are converted.
        y : Ignored
            Present for consistency with scikit-learn; never read.

        Returns
        -------
        self : ParametricUMAP
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is out of its range; the message names it. The estimator is then as it was before.
        FloatingPointError
            If training diverges, as it may with too large a learning rate. The estimator is then as it was before.
        """
        with _unchanged_unless_finished(self):
            X = self._validated(X, ensure_min_samples=2)
            self._check_parameters()
            device = resolve_device(self.device)
            random_state = (
                np.random.RandomState() if self.random_state is None else check_random_state(self.random_state)
            )
            # A module of the user's may draw from torch's global random state, which is lent a seed for the time.
            seed = None if self.encoder is None else _draw_seed(random_state)
            with surroundings(device, self.n_jobs, seed):
                self._fit(X, device, random_state)
        return self

    def _fit(self, X, device, random_state):
        progress = Progress(self.verbose, self.report_interval)
        n_neighbors = self._fitting_n_neighbors(X)
        self.a_, self.b_ = self._curve()
        positions = self._given_positions(X)
        encoder = self._new_encoder(X, random_state)

        progress.stage(f"neighbors: {n_neighbors} of each of {X.shape[0]} rows, metric {self.metric!r}")
        indices, distances = nearest_neighbors(
            X,
            n_neighbors,
            metric=self.metric,
            metric_kwds=self.metric_kwds,
            device=device,
            n_jobs=self.n_jobs,
            random_state=random_state,
        )
        progress.stage("graph: fuzzy simplicial set")
        self.graph_ = fuzzy_simplicial_set(
            indices,
            distances,
            local_connectivity=self.local_connectivity,
            set_op_mix_ratio=self.set_op_mix_ratio,
            device=device,
        )
        if positions is None and self.init != "random":
            progress.stage(f"initial positions: {self.init}")
            positions = initial_positions(
                self.init,
                X,
                self.graph_,
                self.n_components,
                scale=self.init_scale,
                random_state=random_state,
                device=device,
            )
        self.encoder_, self.device_ = encoder.to(device), device
        prepare, network = parts(self.encoder_)
        self.init_embedding_ = embed(prepare, network, X, device) if positions is None else positions

        rows = as_rows(X, prepare, device)
        generator = new_generator(device, _draw_seed(random_state))
        gap = feature_gap(rows, indices)
        noise = self.input_noise * gap if self.input_noise else 0.0  # a gap may overflow
        precision = body_precision(device, gap) if self.encoder is None else torch.float32
        self.loss_curve_ = {"spectral_init": np.empty(0)}
        for phase in self._phases(positions, device, generator):
            progress.stage(f"{phase.name}: {phase.n_epochs} epochs of {phase.batches_per_epoch} batches on {device}")
            self.loss_curve_[phase.name] = train(
                network, rows, phase, generator, input_noise=noise, precision=precision, on_epoch=progress.epoch
            )

        progress.stage("embedding")
        self.embedding_ = embed(prepare, network, X, device)
        progress.stage("done")

    def fit_transform(self, X, y=None):
        """Learn the map, and return where it puts the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in `fit`.
        y : Ignored
            As in `fit`.

        Returns
        -------
        embedding : ndarray of shape (n_samples, n_components), float32
            `embedding_`: the same as ``transform(X)``.
        """
        return self.fit(X).embedding_

    def transform(self, X):
        """Map rows by one forward pass of the encoder.

        May be called from several threads at once.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of those fitted; at least one.

        Returns
        -------
        embedding : ndarray of shape (n_samples, n_components), float32
            Their coordinates.

        Raises
        ------
        ValueError
            If X is not finite, has another number of features than the fitted rows, or lies so far from them that the
            encoder overflows.
        """
        check_is_fitted(self)
        return embed(*parts(self.encoder_), self._validated(X, reset=False), self.device_)

    def _validated(self, X, **options):
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], **options)
        largest = max(X.max(), -X.min()) if X.dtype == np.float64 else 0
        if largest > np.finfo(np.float32).max:
            raise ValueError(f"X holds ±{largest:.3g}, which is beyond the range of float32, the encoder's precision.")
        return X

    def _check_parameters(self):
        """What one table cannot say: parameters that depend on each other, and what is inside of containers."""
        if (self.a is None) != (self.b is None):
            raise ValueError(f"a and b are given both or neither; got a={self.a}, b={self.b}.")
        if self.min_dist > self.spread:
            raise ValueError(f"min_dist must be at most spread; got min_dist={self.min_dist}, spread={self.spread}.")
        if not all(isinstance(width, Integral) and width > 0 for width in self.hidden_layer_sizes):
            raise ValueError(f"hidden_layer_sizes must hold integers above 0; got {self.hidden_layer_sizes}.")
        check_metric(self.metric, self.metric_kwds)
        check_report_interval(self.report_interval)

    def _fitting_n_neighbors(self, X):
        largest = max(2, X.shape[0] - 1)
        if self.n_neighbors > largest:
            warn(
                f"n_neighbors={self.n_neighbors} is too large for {X.shape[0]} rows; {largest} is taken instead.",
                UserWarning,
                stacklevel=5,  # the line that called fit
            )
        return min(self.n_neighbors, largest)

    def _curve(self):
        if self.a is not None:
            return float(self.a), float(self.b)
        return find_ab_params(self.spread, self.min_dist)

    def _given_positions(self, X):
        return None if isinstance(self.init, str) else checked_positions(self.init, X.shape[0], self.n_components)

    def _new_encoder(self, X, random_state):
        if self.encoder is not None:
            return copy_of(self.encoder, X, self.n_components)
        generator = torch.Generator().manual_seed(_draw_seed(random_state))
        standardize = Standardize.of(X, self.pca_variance)
        return Encoder(standardize, self.n_components, self.hidden_layer_sizes, self.activation, generator)

    def _phases(self, positions, device, generator):
        n_samples = self.graph_.shape[0]
        if positions is not None:
            batches = -(-n_samples // self.init_batch_size)
            yield SpectralInit(
                torch.from_numpy(positions).to(device),
                n_epochs=self.init_epochs or max(1, -(-INIT_BATCHES // batches)),
                batch_size=self.init_batch_size,
                learning_rate=self.init_learning_rate,
            )
        fewest, most = MAIN_BATCHES
        batches = min(fewest + n_samples // ROWS_PER_BATCH, most)
        yield MainEmbedding(
            SAMPLERS[self.sampling](self.graph_, generator.device),
            EdgeCrossEntropy(self.a_, self.b_, self.negative_sample_rate, self.repulsion_strength),
            n_epochs=self.n_epochs,
            batches_per_epoch=self.batches_per_epoch or -(-batches // self.n_epochs),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )

    @property
    def _n_features_out(self):
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        for name in ("encoder", "encoder_"):  # modules travel on the CPU, so that they load where there is no GPU
            if state.get(name) is not None:
                state[name] = deepcopy(state[name]).cpu()
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "encoder_" in state:
            self.device_ = device_or_cpu(self.device_)
            self.encoder_.to(self.device_)


@contextmanager
def _unchanged_unless_finished(estimator):
    """Give the estimator back the attributes it had, if anything is raised within, an interrupt included."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _draw_seed(random_state):
    return random_state.randint(np.iinfo(np.int32).max)
