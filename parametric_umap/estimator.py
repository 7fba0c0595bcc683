"""The estimator: its parameters and methods. `fitting.py` has the flow of a fit."""

from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from os import PathLike
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
import torch
from joblib import Memory
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.utils import Bunch
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    validate_data,
)

from .attribution import encoder_jacobian, summarized
from .blockwise import by_blocks, in_blocks_of, is_read_in_blocks, rows_in_a_file
from .containers import as_numpy, checked_rows, in_container_of
from .decoder import decode, has_decoder
from .defaults import EPOCHS
from .distributed import Group
from .distributed.fitting import fit_map_together
from .encoder import parts
from .engine import device_or_cpu, embed
from .export import to_onnx
from .fit_data import FitData
from .fitted import OPTIONAL_ATTRIBUTES
from .fitting import fit_map
from .interrupts import interrupts_raised, keeping_interrupts
from .metrics import trustworthiness
from .moments import warn_of_lost_digits
from .novelty import novelty
from .parameters import PARAMETER_CONSTRAINTS, check_parameters, possible_n_neighbors
from .persistence import load, save
from .plan import Model, Plan, stages
from .progress import CallbackSupportMixin, Progress
from .room import check_stacks
from .threads import allotted_threads, limited_threads
from .typing import FloatArray, MakesModule, Metric, OutputMetric, Rows, Seed, TensorLoss, keeps_signature

# The learning rate of `partial_fit` is lower by this, so that old points stay where they are.
PARTIAL_FIT_SLOWER = 4.0


def _has_decoder(estimator):
    if not has_decoder(estimator.decoder):
        raise AttributeError("inverse_transform needs a decoder; fit with decoder=True or a module.")
    return True


class ParametricUMAP(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
    metric : str or callable, default="euclidean"
        The distance that makes neighbours: any name that pynndescent knows, among them "cosine", "correlation",
        "manhattan", "minkowski", "hamming", "jaccard" and "hellinger"; or a function of two vectors. A function is fast
        where numba has compiled it, or can, and is not for sparse rows.
    metric_kwds : dict or None, default=None
        Arguments of the metric by name, such as ``{"p": order}`` for "minkowski".
    precomputed_knn : tuple of (ndarray, ndarray) or None, default=None
        Indices and distances of the neighbours of each row, both of shape (n_samples, at least n_neighbors), instead of
        a search; -1 at an infinite distance for no neighbour. For fits of the same rows only.
    disconnection_distance : float or None, default=None
        From this distance on two rows are never neighbours. None takes the greatest distance of a bounded metric, such
        as 1 of "jaccard" and 2 of "cosine", and infinity for the others, as umap-learn does.
    unique : bool, default=False
        Whether rows that are there several times are fitted once. It pays where many are: copies would be each other's
        neighbours, and join nothing else.
    min_dist : float, default=0.1
        How close points may come in the embedding; at least 0 and at most `spread`.
    spread : float, default=1.0
        The scale of the embedding: over this distance beyond `min_dist` similarity falls to 1/e.
    a, b : float or None, default=None
        The similarity curve 1 / (1 + a d²ᵇ); both or neither. None fits them to `min_dist` and `spread`.
    set_op_mix_ratio : float, default=1.0
        From 0, where only mutual neighbours are joined in the graph (fuzzy intersection), to 1, where all are (union).
    local_connectivity : float, default=1.0
        Number of nearest neighbours to which every row is connected in full; at least 0.
    repulsion_strength : float, default=1.0
        Weight of the negative edges' loss; at least 0.
    negative_sample_rate : int, default=5
        Number of negative edges to a positive one. All are made of the rows of one batch, so more cost no more.
    target_metric : str, callable or None, default=None
        How alike the targets `y` of two rows are. None ignores `y`, so that no labels leak into a pipeline; umap-learn
        uses them whenever they are there. "categorical" takes labels of any type, -1, NaN and None standing for unknown
        ones; any other metric, as `metric`, takes numbers.
    target_metric_kwds : dict or None, default=None
        Arguments of that metric.
    target_n_neighbors : int or None, default=None
        Number of neighbours of each row among the targets, where they are numbers; None takes `n_neighbors`.
    target_weight : float, default=0.5
        From 0, where the rows count most, to 1, where the targets do.
    encoder : {"mlp", "linear"}, torch.nn.Module, callable or None, default=None
        The network. "mlp", as None, is a fully connected one that standardizes its input, "linear" a single layer of
        the features themselves. A module is called with rows as they are given, as a float32 tensor of shape
        (n_rows, n_features), and must give (n_rows, n_components). It is copied, with its weights, and never changed;
        parameters that require no gradient stay as they are. A function of n_features and n_components, such as a
        class, makes the module anew for every fit.
    decoder : bool, torch.nn.Module, callable or None, default=None
        What maps coordinates back to rows. True makes the mirror of the default encoder; a module must map
        (n_rows, n_components) to (n_rows, n_features), in the units of X; a function of n_components and n_features
        makes one. With False or None there is none, and no `inverse_transform`.
    reconstruction_loss : {"mse", "bce"} or callable, default="mse"
        What the decoder is trained by: the mean squared error in units of the rows' variance; the binary cross-entropy,
        for rows between 0 and 1; or a function of the decoder's rows and the true ones, two tensors of shape
        (n_rows, n_features), to a tensor of shape ().
    reconstruction_weight : float, default=1.0
        Factor of that loss; at least 0.
    reconstruction_validation : float, {array-like, sparse matrix} or None, default=None
        A share of the rows, or other rows, that the decoder is not trained on, and whose loss is written down.
    autoencoder : bool, default=False
        Whether the loss of the decoder also trains the encoder: points that are close on the map must then be alike
        enough to be told apart by the decoder.
    hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the default encoder's hidden layers; empty for a linear map. None makes six layers of 96, six of 128
        for rows of more than 128 features, and three of 64 for up to 500 rows.
    activation : {"silu", "relu", "gelu", "elu", "tanh"}, default="silu"
        What follows each of them.
    pca_variance : float, default=0.95
        Share of the variance that the default encoder sees of rows of more than 128 features, above 0 and at most 1:
        it takes as many of their leading principal components as hold this share, 256 at most. With 1 it takes the
        features themselves.
    n_waves : int or None, default=None
        Number of random directions whose sines and cosines the default encoder sees beside the features, which lets it
        fold and tear what cannot be laid flat. None takes 32 where rows are dense: 2,500 or more of them whose nearest
        neighbours differ by a fifth of a standard deviation at most; else 0. Where rows lie on a flat or rolled sheet,
        0 keeps more neighbours.
    input_noise : float or None, default=None
        Length of the Gaussian noise that is added to the rows in training, as a multiple of the median distance from a
        row to its nearest neighbour; at least 0. It makes the map smooth between the rows, so that unseen ones find
        their place; less follows the fitted rows more closely. None takes 0.5; 0.75 where the network takes more than
        128 features; 0.25 where rows are dense (see `n_waves`). With a module of your own it is 0.5.
    init : {"spectral", "pca", "random"} or array-like of shape (n_samples, n_components), default="spectral"
        The positions that the encoder learns first: the graph's spectral embedding, the first principal components, or
        those given. With "random" there is no first phase: the encoder starts from its initial weights.
    init_scale : float, default=3.3
        Standard deviation of the "spectral" positions, and of the first coordinate of the "pca" ones.
    n_guides : int, default=18
        Number of further spectral coordinates that the default encoder learns in phase ``spectral_init``, by outputs
        that are then dropped, if `init` is "spectral". They keep groups apart that lie on each other in the others.
    init_epochs : int or None, default=None
        Number of passes over the rows in phase ``spectral_init``; None makes about 50 batches, one pass at least.
    init_batch_size : int, default=500
        Number of rows in a batch of that phase.
    init_learning_rate : float, default=0.01
        Learning rate of that phase; it falls to zero along half a cosine.
    n_epochs : int, default=30
        Number of epochs of phase ``main_embedding``; half of them take half the time, and learn less.
    batches_per_epoch : int or None, default=None
        Number of batches in an epoch of that phase. None makes as many as give about 100 batches in 30 epochs, and one
        more for every 20 rows up to 10,000 and for every 100 beyond, three quarters more where rows are dense, at most
        3,000. Up to 500 rows are one batch, 60 times and once more for every 8 rows. Without Muon there are 400, and
        one more for every 80 rows.
    sampling : {"neighborhoods", "edges"}, default="neighborhoods"
        What a batch of that phase is made of: neighbourhoods of random rows, with all edges within each, or single
        edges, each drawn as often as its weight says, as umap-learn does. Neighbourhoods learn several times faster;
        they give more weight to the edges of tight groups. Up to 500 rows, "neighborhoods" takes all with the whole
        graph.
    batch_size : int, default=1024
        Number of positive edges in a batch of that phase, and half the number of rows in it; neighbourhoods are as many
        as have that number of rows.
    learning_rate : float, default=0.01
        Learning rate of that phase; it falls to zero along half a cosine.
    optimizer : {"muon", "adam"}, default="muon"
        What moves the matrices of the default encoder's hidden layers in both phases: Muon, by five times the learning
        rate along their orthogonalized momentum, which learns more in a step; or Adam, as all other weights and those
        of a module of your own.
    landmark_weight : float, default=1.0
        Factor of the loss of the landmarks that `fit` is given, or `partial_fit` finds; at least 0.
    landmark_loss : callable or None, default=None
        A function of coordinates and of where they should be, two tensors of shape (n_landmarks, n_components), to a
        tensor of shape (). None takes the mean squared error.
    global_correlation_weight : float, default=0.0
        Weight of the correlation between the distances of rows and those of their points, over all pairs of a batch; at
        least 0; 1 is a first try. It arranges what is far apart, and costs a little of what is near.
    densmap : bool, default=False
        Whether points lie as densely as their rows do: densMAP.
    dens_lambda : float, default=2.0
        Weight of that; at least 0.
    dens_frac : float, default=0.3
        Share of phase ``main_embedding``, at its end, in which it counts.
    dens_var_shift : float, default=0.1
        What is added to the variance of the local radii on the map, for stability.
    output_dens : bool, default=False
        Whether the local radii are kept as `rad_orig_` and `rad_emb_`; with `densmap` they always are.
    output_metric : {"euclidean", "haversine", "hyperboloid"}, default="euclidean"
        The distance on the map. "haversine" maps to a sphere of radius 6, `n_components` being 2: the angle from the
        pole and the longitude, in radians. "hyperboloid" maps to hyperbolic space, by the spatial coordinates x of
        points whose other one is ``(1 + |x|²)^½``.
    warm_start : bool, default=False
        Whether `fit` goes on from the encoder and the decoder of the fit before, if there was one, as they are and
        without the first phase.
    distributed : bool, default=False
        Whether the processes of the initialized group of ``torch.distributed``, as torchrun starts them, fit one map
        of all their rows: each calls `fit` with its own, and has the same model afterwards.
    device : {"auto", "cpu", "cuda", "cuda:<index>", "mps"} or torch.device, default="auto"
        Where the network is trained and applied. "auto" takes the CUDA device that the fitted rows are on, else CUDA
        where there is one, else the CPU. Fits side by side may share a CUDA device: each puts its rows there if they
        take at most half of the memory that is free as it begins, and gives back what it took.
    n_jobs : int or None, default=None
        Number of threads of a fit on the CPU; -1 takes all processors, None leaves torch's and numba's own settings,
        and takes one for up to 180 rows. In a worker of joblib's, such as a search has, it is at most the worker's
        share of the processors.
    memory : str, joblib.Memory or None, default=None
        A folder, or what stands for one, where the neighbours, the graph and the initial positions are kept, so that
        fits of the same rows that differ in nothing that these depend on, as in a search over `min_dist`,
        `learning_rate` or `encoder`, find them there. A search by a metric that is a function is made anew, and so is
        one in another number of threads. With the same `random_state` it changes no bit of the map; without any, a fit
        may find what one before has found.
    checkpoint : str or path-like or None, default=None
        A file where a fit keeps how far it has come: the values of its stages and, every ten seconds or more, the state
        of its training. If the fit is killed or interrupted, the same fit goes on from there and ends with the same
        bits; a fit of other rows, parameters or versions raises. A fit that ends removes the file. One file is for one
        fit at a time. It needs safetensors.
    random_state : int, RandomState instance or None, default=None
        Seed of everything random. The same integer gives the same bits on the same machine. The global random states of
        numpy and torch are neither read nor changed; None seeds from the operating system.
    verbose : bool or int, default=False
        Whether each stage and the losses are shown, with the seconds since the fit began: the losses on a live bar in a
        terminal or a notebook, if tqdm is installed, else as printed lines.
    report_interval : int or dict, default=5
        Number of epochs from one printed loss to the next, or a dict of it for ``"spectral_init"`` and
        ``"main_embedding"``. A bar shows the loss of every epoch.

    Attributes
    ----------
    embedding_ : ndarray of shape (n_samples, n_components), float32
        Where the encoder puts the rows of the last `fit` or `partial_fit`: the same as ``transform(X)``.
    graph_ : csr_array of shape (n_samples, n_samples), float32
        The fuzzy simplicial set: how strongly rows are neighbours, from 0 to 1. After `partial_fit` it is that of the
        reference rows before and of those added; with ``unique=True`` it has every row once.
    decoder_ : torch.nn.Module
        The trained decoder, if there is one, in evaluation mode on `device_`.
    rad_orig_, rad_emb_ : ndarray of shape (n_samples,), float64
        Logarithms of the local radii, squared, of the rows and of their points, with `densmap` or `output_dens`.
    n_samples_seen_ : int
        Number of rows fitted, those of `partial_fit` included.
    reference_rows_ : {ndarray, csr_array} of shape (n_references, n_features)
        The fitted rows, to which `novelty_score` compares others; where they are more than 2,000 or than 2 MiB, but in
        any case 100, an evenly spaced sample of them.
    reference_distance_ : float
        The median distance from one of them to its nearest other one, copies not counted, in the scale of the encoder's
        input.
    encoder_ : torch.nn.Module
        The trained network, in evaluation mode on `device_`. It maps a tensor of rows to their coordinates.
    init_embedding_ : ndarray of shape (n_samples, n_components), float32
        The positions that phase ``spectral_init`` aimed at; with ``init="random"``, where the encoder's initial weights
        put the rows.
    a_, b_ : float
        The similarity curve.
    loss_curve_ : dict of str to ndarray of shape (n_epochs,), float64
        Mean loss of each epoch, by the name of the phase; with a decoder, its part as "reconstruction", and that of the
        rows it is not trained on as "reconstruction_validation".
    device_ : torch.device
        Where the encoder is. A model loaded where its device is missing is put on the CPU.
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : ndarray of shape (`n_features_in_`,), object
        Their names, where all are strings.

    Notes
    -----
    From scikit-learn 1.9 on ``set_callbacks`` takes its callbacks. The tasks of a fit are its stages, "neighbors",
    "graph", "initial positions", "spectral_init", "main_embedding" and "embedding", and those of the two phases their
    epochs. ``sklearn.callback.ProgressBar()`` shows them. At the end of an epoch, a phase and the fit a callback may
    ask for the estimator that the fit would give if it stopped there, as
    ``sklearn.callback.ScoringMonitor(scoring={"trustworthiness": ParametricUMAP.score})`` does, which scores only fits
    that are given a `y`. A callback that returns True at the end of an epoch ends the phase.

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

    embedding_: FloatArray
    graph_: sp.csr_array
    encoder_: torch.nn.Module
    decoder_: torch.nn.Module
    init_embedding_: FloatArray
    reference_rows_: Any
    reference_distance_: float
    rad_orig_: NDArray[np.float64]
    rad_emb_: NDArray[np.float64]
    loss_curve_: dict[str, NDArray[np.float64]]
    a_: float
    b_: float
    device_: torch.device
    n_samples_seen_: int
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    _parameter_constraints = PARAMETER_CONSTRAINTS

    def __init__(
        self,
        n_neighbors: int = 15,
        n_components: int = 2,
        *,
        metric: Metric = "euclidean",
        metric_kwds: dict[str, Any] | None = None,
        precomputed_knn: Sequence[ArrayLike] | None = None,
        disconnection_distance: float | None = None,
        unique: bool = False,
        min_dist: float = 0.1,
        spread: float = 1.0,
        a: float | None = None,
        b: float | None = None,
        set_op_mix_ratio: float = 1.0,
        local_connectivity: float = 1.0,
        repulsion_strength: float = 1.0,
        negative_sample_rate: int = 5,
        target_metric: Metric | None = None,
        target_metric_kwds: dict[str, Any] | None = None,
        target_n_neighbors: int | None = None,
        target_weight: float = 0.5,
        encoder: Literal["mlp", "linear"] | torch.nn.Module | MakesModule | None = None,
        decoder: bool | torch.nn.Module | MakesModule | None = None,
        reconstruction_loss: Literal["mse", "bce"] | TensorLoss = "mse",
        reconstruction_weight: float = 1.0,
        reconstruction_validation: float | Rows | None = None,
        autoencoder: bool = False,
        hidden_layer_sizes: int | Sequence[int] | NDArray[np.integer] | None = None,
        activation: Literal["silu", "relu", "gelu", "elu", "tanh"] = "silu",
        pca_variance: float = 0.95,
        n_waves: int | None = None,
        input_noise: float | None = None,
        init: Literal["spectral", "pca", "random"] | ArrayLike = "spectral",
        init_scale: float = 3.3,
        n_guides: int = 18,
        init_epochs: int | None = None,
        init_batch_size: int = 500,
        init_learning_rate: float = 1e-2,
        n_epochs: int = EPOCHS,
        batches_per_epoch: int | None = None,
        sampling: Literal["neighborhoods", "edges"] = "neighborhoods",
        batch_size: int = 1024,
        learning_rate: float = 1e-2,
        optimizer: Literal["muon", "adam"] = "muon",
        landmark_weight: float = 1.0,
        landmark_loss: TensorLoss | None = None,
        global_correlation_weight: float = 0.0,
        densmap: bool = False,
        dens_lambda: float = 2.0,
        dens_frac: float = 0.3,
        dens_var_shift: float = 0.1,
        output_dens: bool = False,
        output_metric: OutputMetric = "euclidean",
        warm_start: bool = False,
        distributed: bool = False,
        device: str | torch.device = "auto",
        n_jobs: int | None = None,
        memory: str | Memory | None = None,
        checkpoint: str | PathLike[str] | None = None,
        random_state: Seed = None,
        verbose: bool | int = False,
        report_interval: int | dict[str, int] = 5,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.n_components = n_components
        self.metric = metric
        self.metric_kwds = metric_kwds
        self.precomputed_knn = precomputed_knn
        self.disconnection_distance = disconnection_distance
        self.unique = unique
        self.min_dist = min_dist
        self.spread = spread
        self.a = a
        self.b = b
        self.set_op_mix_ratio = set_op_mix_ratio
        self.local_connectivity = local_connectivity
        self.repulsion_strength = repulsion_strength
        self.negative_sample_rate = negative_sample_rate
        self.target_metric = target_metric
        self.target_metric_kwds = target_metric_kwds
        self.target_n_neighbors = target_n_neighbors
        self.target_weight = target_weight
        self.encoder = encoder
        self.decoder = decoder
        self.reconstruction_loss = reconstruction_loss
        self.reconstruction_weight = reconstruction_weight
        self.reconstruction_validation = reconstruction_validation
        self.autoencoder = autoencoder
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.pca_variance = pca_variance
        self.n_waves = n_waves
        self.input_noise = input_noise
        self.init = init
        self.init_scale = init_scale
        self.n_guides = n_guides
        self.init_epochs = init_epochs
        self.init_batch_size = init_batch_size
        self.init_learning_rate = init_learning_rate
        self.n_epochs = n_epochs
        self.batches_per_epoch = batches_per_epoch
        self.sampling = sampling
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.landmark_weight = landmark_weight
        self.landmark_loss = landmark_loss
        self.global_correlation_weight = global_correlation_weight
        self.densmap = densmap
        self.dens_lambda = dens_lambda
        self.dens_frac = dens_frac
        self.dens_var_shift = dens_var_shift
        self.output_dens = output_dens
        self.output_metric = output_metric
        self.warm_start = warm_start
        self.distributed = distributed
        self.device = device
        self.n_jobs = n_jobs
        self.memory = memory
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose
        self.report_interval = report_interval

    @keeps_signature(keeping_interrupts)  # callbacks are torn down by the next one
    @keeps_signature(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: Rows,
        y: ArrayLike | None = None,
        *,
        precomputed_distances: Rows | None = None,
        landmark_positions: ArrayLike | None = None,
    ) -> Self:
        """Learn the map.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows to be mapped; at least two. Sparse formats other than CSR are converted. Tensors and CuPy arrays on a
            CUDA device are used there. Other arrays of the array API standard are taken where scikit-learn's
            ``array_api_dispatch`` is on. Dask arrays and data frames, Zarr arrays and HDF5 datasets are read in blocks
            into a temporary file, and memory maps are used as they are.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets, which are read only if `target_metric` says how: labels, or numbers.
        precomputed_distances : {array-like, sparse matrix} of shape (n_samples, n_samples), default=None
            The distances between the rows, instead of `metric`; in a sparse matrix, what is not stored is no neighbour.
        landmark_positions : array-like of shape (n_samples, n_components), default=None
            Where rows should come to lie; a row that holds a NaN is free.

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
        continues = self.warm_start and hasattr(self, "encoder_")
        with self._fitting(X, y, "fit", continues) as progress, rows_in_a_file(X) as X:
            previous = self._previous_model() if continues else None
            with Group().agreed() if self.distributed else nullcontext():
                X = self._validated(X, reset=previous is None, ensure_min_samples=0 if self.distributed else 2)
            data = FitData.of_rows(self, X, y, precomputed_distances, landmark_positions)
            self._learn(data, progress, previous)
        return self

    @keeps_signature(keeping_interrupts)  # callbacks are torn down by the next one
    @keeps_signature(_fit_context(prefer_skip_nested_validation=True))
    def partial_fit(self, X: Rows, y: ArrayLike | None = None) -> Self:
        """Add rows to a fitted map without letting it drift.

        The rows are learned together with `reference_rows_`, which are landmarks where they lie. Without a fit before,
        this is `fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows to be added; at least two.
        y : array-like of shape (n_samples,), default=None
            Labels, read only if ``target_metric="categorical"``. Those of the rows before count as unknown.

        Returns
        -------
        self : ParametricUMAP
            The estimator; its `embedding_` is that of the rows added.

        Raises
        ------
        ValueError
            If X or a parameter is out of its range, or `target_metric` is one of numbers. The estimator is then as it
            was before.
        FloatingPointError
            If training diverges. The estimator is then as it was before.
        """
        if self.distributed:
            raise ValueError("partial_fit is of one process; take distributed=False.")
        if not hasattr(self, "encoder_"):
            with interrupts_raised():
                return self.fit(X, y)
        with self._fitting(X, y, "partial_fit", continues=True) as progress, rows_in_a_file(X) as X:
            X = self._validated(X, reset=False, ensure_min_samples=2)
            if self.precomputed_knn is not None:
                raise ValueError("precomputed_knn holds no neighbours of added rows; it must be None for partial_fit.")
            previous, known = self._previous_model(), self.reference_rows_
            positions = as_numpy(embed(*parts(self.encoder_), known, self.device_))
            data = FitData.of_rows(self, X, y).added_to(self, known, self.n_samples_seen_, positions)
            self._learn(data, progress, previous, learning_rate_divisor=PARTIAL_FIT_SLOWER)
        return self

    @contextmanager
    def _fitting(self, X, y, task_name, continues):
        """Tell that a fit begins; if anything is raised within, an interrupt included, the estimator is as before."""
        n_stages = len(stages(self.init, continues))
        progress = Progress(self, X, y, task_name=task_name, n_stages=n_stages)  # what it needs until the end stays
        before = dict(vars(self))
        try:
            with interrupts_raised(), limited_threads(allotted_threads(self.n_jobs)):
                check_stacks(torch.get_num_threads())
                yield progress
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _learn(self, data, progress, previous, **how):
        """Fit a map, and keep it instead of the one before."""
        check_parameters(self, data.rows, data.targets)
        if self.distributed:
            fitted = fit_map_together(data, self, progress)
        else:
            n_neighbors = possible_n_neighbors(self.n_neighbors, data.rows.shape[0], stacklevel=5)
            warn_of_lost_digits(data.rows, stacklevel=5)
            fitted = fit_map(data, Plan(self, n_neighbors, previous=previous, **how), progress)
        for name in OPTIONAL_ATTRIBUTES:
            vars(self).pop(name, None)
        vars(self).update(fitted.attributes())
        progress.finish()

    def _previous_model(self):
        """Copies of the encoder of the fit before and of its decoder, if there is one."""
        before, now = self._n_features_out, self.n_components
        if before != now:
            raise ValueError(f"the fit to go on from is one of {before} components; now there are {now}.")
        return Model(*deepcopy((self.encoder_, getattr(self, "decoder_", None))))

    def fit_transform(self, X: Rows, y: ArrayLike | None = None, **fit_params: Any) -> FloatArray:
        """Learn the map, and return where it puts the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            As in `fit`.
        **fit_params : dict
            Further arguments of `fit`.

        Returns
        -------
        embedding : {ndarray, Tensor} of shape (n_samples, n_components), float32
            `embedding_`, the same as ``transform(X)``, in the container and on the device that X is in.
        """
        embedding = self.fit(X, y, **fit_params).embedding_
        return in_blocks_of(X, embedding) if is_read_in_blocks(X) else self._answer(X, torch.from_numpy(embedding))

    def transform(self, X: Rows) -> FloatArray:
        """Map rows by one forward pass of the encoder.

        May be called from several threads at once.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows in the units of those fitted; at least one.

        Returns
        -------
        embedding : {ndarray, Tensor} of shape (n_samples, n_components), float32
            Their coordinates. If X is a tensor, a CuPy array, or an array of the array API standard where
            scikit-learn's ``array_api_dispatch`` is on, so are they, on the same device; `set_output` goes before. Of a
            Dask array or data frame they are a lazy Dask array, whose blocks are mapped when they are computed.

        Raises
        ------
        ValueError
            If X is not finite, has another number of features than the fitted rows, or lies so far from them that the
            encoder overflows.
        """
        check_is_fitted(self)
        if is_read_in_blocks(X):
            return by_blocks(self._embedded, X, n_columns=self._n_features_out)
        return self._answer(X, embed(*parts(self.encoder_), self._validated(X, reset=False), self.device_))

    def _embedded(self, X):
        """The coordinates of an ndarray of rows, whatever `set_output` asks for."""
        return as_numpy(embed(*parts(self.encoder_), self._validated(X, reset=False), self.device_))

    @keeps_signature(available_if(_has_decoder))
    def inverse_transform(self, X: ArrayLike) -> FloatArray:
        """Map coordinates back to rows, by the decoder.

        Parameters
        ----------
        X : {array-like, Tensor} of shape (n_samples, n_components)
            Coordinates on the map.

        Returns
        -------
        X_original : {ndarray, Tensor} of shape (n_samples, n_features), float32
            Rows in the units of those fitted, in the container and on the device that X is in.

        Raises
        ------
        AttributeError
            If the parameter `decoder` asks for none.
        ValueError
            If X is not finite, or has another number of coordinates.
        """
        check_is_fitted(self, "decoder_")
        if is_read_in_blocks(X):
            return by_blocks(self.inverse_transform, X, n_columns=self.n_features_in_)
        Z = checked_rows(X, partial(check_array, dtype=np.float32, input_name="X"))
        if Z.shape[1] != self._n_features_out:
            raise ValueError(f"X has {Z.shape[1]} coordinates, but the map has {self._n_features_out}.")
        return in_container_of(X, decode(self.decoder_, Z, self.device_))

    def score(self, X: Rows, y: object = None) -> float:
        """Trustworthiness of the map on rows, so that a search can compare maps without labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows, fitted or not; at least three. Of more than 5,000, the neighbours of so many are looked at, always the
            same.
        y : Ignored
            Present for consistency with scikit-learn; never read.

        Returns
        -------
        score : float
            From 0 to 1: how far each row's `n_neighbors` neighbours on the map are its neighbours among the rows, by
            `metric`; as ``parametric_umap.metrics.trustworthiness``.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False, ensure_min_samples=3)
        with limited_threads(allotted_threads()):
            return trustworthiness(
                as_numpy(X),
                as_numpy(embed(*parts(self.encoder_), X, self.device_)),
                n_neighbors=min(self.n_neighbors, (X.shape[0] - 1) // 2),
                metric=self.metric,
                metric_kwds=self.metric_kwds,
                output_metric=self.output_metric,
                random_state=0,
                device=self.device_,
            )

    def feature_attributions(self, X: Rows) -> Bunch:
        """How each feature moves each point: the derivative of the map.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows, fitted or not.

        Returns
        -------
        attributions : Bunch
            `jacobian` : ndarray of shape (n_samples, n_components, n_features), float32
                The derivative of every coordinate by every feature, at every row: units of the embedding per unit of
                the feature.
            `importances` : ndarray of shape (n_features,), float64
                How far a point is moved, on average, by a change of the feature by its standard deviation over X.
            `feature_names` : ndarray of shape (n_features,), object
                `feature_names_in_`, or "x0", "x1", and so on.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        return summarized(encoder_jacobian(self.encoder_, X, self.device_), X, _check_feature_names_in(self))

    def novelty_score(self, X: Rows) -> FloatArray:
        """How unlike the fitted rows other rows are; the map has a place for any row, even for one that is nothing.

        Parameters
        ----------
        X : {array-like, sparse matrix, Tensor} of shape (n_samples, n_features)
            Rows, fitted or not.

        Returns
        -------
        score : {ndarray, Tensor} of shape (n_samples,), float32
            Euclidean distance to the nearest of `reference_rows_`, in units of `reference_distance_`: about 1 for a row
            like those fitted; there is no upper limit. It is in the container and on the device that X is in.
        """
        check_is_fitted(self)
        if is_read_in_blocks(X):
            return by_blocks(self.novelty_score, X, n_columns=None)
        prepare, _ = parts(self.encoder_)
        rows = self._validated(X, reset=False)
        return in_container_of(X, novelty(prepare, rows, self.reference_rows_, self.reference_distance_, self.device_))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted estimator to a file from which loading runs no code: safetensors, with JSON metadata.

        Parameters
        ----------
        path : str or path-like
            The file; it is written whole or not at all.

        Raises
        ------
        ImportError
            If safetensors is not installed.

        Warns
        -----
        UserWarning
            If parameters are functions, random states or a joblib.Memory, which such a file cannot hold; they will be
            the default. Of an encoder or a decoder of the user's own it holds the weights.
        """
        check_is_fitted(self)
        save(self, path)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        encoder: torch.nn.Module | MakesModule | None = None,
        decoder: torch.nn.Module | MakesModule | None = None,
    ) -> Self:
        """Read an estimator that `save` has written, with this version of the package or one before.

        Parameters
        ----------
        path : str or path-like
            The file.
        encoder, decoder : torch.nn.Module, callable or None, default=None
            For a model with an encoder or a decoder of the user's own: a module of the same architecture, or a function
            of the widths of its input and its output that makes one, such as its class.

        Returns
        -------
        estimator : ParametricUMAP
            Fitted, on the device that it was fitted on, or the CPU where this is missing.

        Raises
        ------
        ValueError
            If it is no such file, or one of a later version; if the encoder is missing or another.
        ImportError
            If safetensors is not installed.
        """
        return load(cls, path, encoder, decoder)

    def to_onnx(self, path: str | PathLike[str], *, decoder: bool = False) -> None:
        """Write the encoder, or the decoder, as an ONNX model.

        Parameters
        ----------
        path : str or path-like
            The file. Its input "X" has the shape (n_rows, n_features), its output "embedding" (n_rows, n_components),
            and both are float32. Those of the decoder have each other's names and shapes.
        decoder : bool, default=False
            Whether it is the decoder that is written.

        Raises
        ------
        ImportError
            If onnx and onnxscript are not installed.
        ValueError
            If there is no decoder.
        """
        check_is_fitted(self)
        if decoder:
            if not hasattr(self, "decoder_"):
                raise ValueError("decoder=True, but this map has no decoder; fit with decoder=True or a module.")
            to_onnx(self.decoder_, self._n_features_out, path, ("embedding", "X"))
        else:
            to_onnx(self.encoder_, self.n_features_in_, path, ("X", "embedding"))

    def _validated(self, X: Rows, **options: Any) -> Any:
        check = partial(validate_data, self, accept_sparse="csr", dtype=[np.float64, np.float32], **options)
        X = checked_rows(X, check, estimator_name=type(self).__name__)
        largest = max(X.max(), -X.min()) if X.dtype.itemsize == 8 else 0
        if largest > np.finfo(np.float32).max:
            raise ValueError(f"X holds ±{largest:.3g}, which is beyond the range of float32, the encoder's precision.")
        return X

    def _answer(self, X, embedding):
        """The embedding in the container of X, or as scikit-learn makes the frame of it that `set_output` asks for."""
        if _get_output_config("transform", self)["dense"] != "default":
            return as_numpy(embedding)
        return in_container_of(X, embedding)

    @property
    def _n_features_out(self):
        return self.embedding_.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        # Not `array_api_support`, which promises fitted attributes in the namespace of X and a model for no other one.
        return tags

    def __getstate__(self):
        state = dict(super().__getstate__())
        # Modules travel on the CPU, so that they load where there is no GPU.
        for name in ("encoder", "encoder_", "decoder", "decoder_"):
            if isinstance(state.get(name), torch.nn.Module):
                state[name] = deepcopy(state[name]).cpu()
        return state

    def __setstate__(self, state):
        # A pickle of an earlier version has no parameters that came later.
        super().__setstate__(type(self)().get_params(deep=False) | state)
        if "encoder_" in state:
            self.device_ = device_or_cpu(self.device_)
            for module in ("encoder_", "decoder_"):
                if module in state:
                    state[module].to(self.device_)
