"""What the parameters of the estimator may be: one table, and what one table cannot say."""

import os
from numbers import Integral, Real
from typing import Any
from warnings import warn

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils._param_validation import HasMethods, Hidden, Interval, StrOptions

from .containers import refuse_masked
from .encoder import ACTIVATIONS
from .engine import SAMPLERS
from .neighbors import METRICS, check_metric
from .output_metrics import OUTPUT_METRICS
from .progress import check_report_interval
from .supervision import check_target_metric
from .terms import RECONSTRUCTION_LOSSES

# What counts something is an int32 for torch, here and there.
COUNT = Interval(Integral, 1, np.iinfo(np.int32).max, closed="both")

PARAMETER_CONSTRAINTS = {
    "n_neighbors": [Interval(Integral, 2, None, closed="left")],
    "n_components": [COUNT],
    "metric": [StrOptions(set(METRICS)), Hidden(StrOptions({"precomputed"})), callable],
    "metric_kwds": [dict, None],
    "precomputed_knn": [tuple, list, None],
    "disconnection_distance": [Interval(Real, 0, None, closed="neither"), None],
    "unique": ["boolean"],
    "min_dist": [Interval(Real, 0, None, closed="left")],
    "spread": [Interval(Real, 0, None, closed="neither")],
    "a": [Interval(Real, 0, None, closed="neither"), None],
    "b": [Interval(Real, 0, None, closed="neither"), None],
    "set_op_mix_ratio": [Interval(Real, 0, 1, closed="both")],
    "local_connectivity": [Interval(Real, 0, None, closed="left")],
    "repulsion_strength": [Interval(Real, 0, None, closed="left")],
    "negative_sample_rate": [COUNT],
    "target_metric": [StrOptions({"categorical", *METRICS}), callable, None],
    "target_metric_kwds": [dict, None],
    "target_n_neighbors": [Interval(Integral, 2, None, closed="left"), None],
    "target_weight": [Interval(Real, 0, 1, closed="both")],
    "encoder": [StrOptions({"mlp", "linear"}), torch.nn.Module, callable, None],
    "decoder": ["boolean", torch.nn.Module, callable, None],
    "reconstruction_loss": [StrOptions(set(RECONSTRUCTION_LOSSES)), callable],
    "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
    "reconstruction_validation": [Interval(Real, 0, 1, closed="neither"), "array-like", "sparse matrix", None],
    "autoencoder": ["boolean"],
    "hidden_layer_sizes": ["array-like", COUNT, None],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "pca_variance": [Interval(Real, 0, 1, closed="right")],
    "n_waves": [Interval(Integral, 0, np.iinfo(np.int32).max, closed="both"), None],
    "input_noise": [Interval(Real, 0, None, closed="left"), None],
    "init": [StrOptions({"spectral", "pca", "random"}), "array-like"],
    "init_scale": [Interval(Real, 0, None, closed="neither")],
    "n_guides": [Interval(Integral, 0, np.iinfo(np.int32).max, closed="both")],
    "init_epochs": [COUNT, None],
    "init_batch_size": [COUNT],
    "init_learning_rate": [Interval(Real, 0, None, closed="neither")],
    "n_epochs": [COUNT],
    "batches_per_epoch": [COUNT, None],
    "sampling": [StrOptions(set(SAMPLERS))],
    "batch_size": [COUNT],
    "learning_rate": [Interval(Real, 0, None, closed="neither")],
    "optimizer": [StrOptions({"muon", "adam"})],
    "landmark_weight": [Interval(Real, 0, None, closed="left")],
    "landmark_loss": [callable, None],
    "global_correlation_weight": [Interval(Real, 0, None, closed="left")],
    "densmap": ["boolean"],
    "dens_lambda": [Interval(Real, 0, None, closed="left")],
    "dens_frac": [Interval(Real, 0, 1, closed="both")],
    "dens_var_shift": [Interval(Real, 0, None, closed="neither")],
    "output_dens": ["boolean"],
    "output_metric": [StrOptions({"euclidean", *OUTPUT_METRICS})],
    "warm_start": ["boolean"],
    "distributed": ["boolean"],
    "device": [str, torch.device],
    "n_jobs": [Integral, None],
    "memory": [str, HasMethods("cache"), None],
    "checkpoint": [str, os.PathLike, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
    "report_interval": [COUNT, dict],
}


def check_parameters(parameters: Any, X: Any, y: Any) -> None:
    """Check parameters that depend on each other or on the rows, and what is inside of containers.

    Parameters
    ----------
    parameters : ParametricUMAP
        Its parameters; each is in the table's range.
    X : {ndarray, csr_matrix, csr_array, Tensor} of shape (n_samples, n_features)
        The rows.
    y : array-like of shape (n_samples,) or (n_samples, n_targets), or None
        Their targets.

    Raises
    ------
    ValueError
        If a parameter is out of its range; the message names it.
    """
    p = parameters
    for name, constraints in PARAMETER_CONSTRAINTS.items():
        if isinstance(getattr(p, name), bool) and not {"boolean", "verbose"} & {*filter(_is_str, constraints)}:
            raise ValueError(f"{name} must be a number; got {getattr(p, name)}.")
        if isinstance(getattr(p, name), int) and abs(getattr(p, name)) >= 2**63:
            raise ValueError(f"{name} must be an integer of 64 bits, or a float; got {getattr(p, name)}.")
    if (p.a is None) != (p.b is None):
        raise ValueError(f"a and b are given both or neither; got a={p.a}, b={p.b}.")
    if p.min_dist > p.spread:
        raise ValueError(f"min_dist must be at most spread; got min_dist={p.min_dist}, spread={p.spread}.")
    if p.metric == "precomputed":  # as umap-learn has it
        raise ValueError("metric='precomputed': give the distances as fit(X, precomputed_distances=...) instead.")
    widths = [] if p.hidden_layer_sizes is None else np.ravel(p.hidden_layer_sizes).tolist()
    if not all(type(width) is int and 0 < width <= np.iinfo(np.int32).max for width in widths):
        raise ValueError(f"hidden_layer_sizes must hold integers above 0 and below 2**31; got {p.hidden_layer_sizes}.")
    if p.local_connectivity > p.n_neighbors:
        raise ValueError(f"local_connectivity must be at most n_neighbors={p.n_neighbors}; got {p.local_connectivity}.")
    check_metric(p.metric, p.metric_kwds, X.shape[1], sp.issparse(X))
    refuse_masked(y=y)
    if p.target_metric is not None and y is not None:
        check_target_metric(p.target_metric, p.target_metric_kwds, y)
    if p.output_metric != "euclidean" and (p.densmap or p.output_dens):
        raise ValueError(f"densmap and output_dens need output_metric='euclidean'; got {p.output_metric!r}.")
    if p.output_metric == "haversine" and p.n_components != 2:
        raise ValueError(f"output_metric='haversine' needs n_components=2; got {p.n_components}.")
    check_report_interval(p.report_interval)


def _is_str(constraint):
    return isinstance(constraint, str)


def possible_n_neighbors(n_neighbors: int, n_samples: int, *, stacklevel: int) -> int:
    """Take as many neighbours as there can be, with a warning where these are fewer than asked for.

    Parameters
    ----------
    n_neighbors : int
        The parameter.
    n_samples : int
        Number of rows.
    stacklevel : int
        How far above this function the line is that the warning is about.

    Returns
    -------
    n_neighbors : int
        At most `n_samples` - 1, but at least 2.
    """
    largest = max(2, n_samples - 1)
    if n_neighbors > largest:
        warn(
            f"n_neighbors={n_neighbors} is too large for {n_samples} rows; {largest} is taken instead.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return min(n_neighbors, largest)
