"""Bad input is told by name, with what came and what is allowed, and leaves the estimator as it was."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from parametric_umap import ParametricUMAP, plan
from parametric_umap import fitted as fitted_module
from parametric_umap.metrics import knn_accuracy, trustworthiness
from parametric_umap.plotting import EmbeddingDisplay

QUICK = {"n_neighbors": 5, "hidden_layer_sizes": (4,), "init_epochs": 1, "n_epochs": 1, "batches_per_epoch": 1}
X = np.random.default_rng(0).normal(size=(30, 4))


def with_value(value):
    rows = X.copy()
    rows[3, 2] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (with_value(np.nan), "Input X contains NaN"),
        (with_value(np.inf), "Input X contains infinity"),
        (sp.csr_array(with_value(np.nan)), "Input X contains NaN"),
        (with_value(1e200), r"X holds ±1e\+200, which is beyond the range of float32"),
        (X[:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\) while a minimum of 2 is required"),
        (X[:, :0], r"Found array with 0 feature\(s\)"),
        (X[:1], r"Found array with 1 sample\(s\) \(shape=\(1, 4\)\) while a minimum of 2 is required"),
        (X[:, 0], "Expected 2D array, got 1D array instead"),
        (X[None], "Found array with dim 3"),
        (np.full((30, 4), "a"), "could not convert string to float"),
        (X.astype(complex), "Complex data not supported"),
        (None, "Expected 2D array, got scalar array"),
    ],
)
def test_fit_names_what_is_wrong_with_the_rows(rows, message):
    umap = ParametricUMAP(**QUICK)
    with pytest.raises(ValueError, match=message):
        umap.fit(rows)
    assert vars(umap) == vars(ParametricUMAP(**QUICK))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X[:, :3], "X has 3 features, but ParametricUMAP is expecting 4 features as input"),
        (with_value(np.nan), "Input X contains NaN"),
        (with_value(np.inf), "Input X contains infinity"),
        (X[0], "Expected 2D array, got 1D array instead"),
        (X[:0], r"Found array with 0 sample\(s\) \(shape=\(0, 4\)\) while a minimum of 1 is required"),
        (np.full((3, 4), "a"), "could not convert string to float"),
        (X.astype(complex), "Complex data not supported"),
    ],
)
def test_transform_names_what_is_wrong_with_the_rows(fitted, rows, message):
    with pytest.raises(ValueError, match=message):
        fitted.transform(rows)


def test_transform_tells_rows_that_overflow_the_encoder():
    encoder = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 2), torch.nn.Linear(2, 2))
    with torch.no_grad():
        encoder[0].weight.fill_(10)
    tiny = ParametricUMAP(encoder=encoder, random_state=0, **QUICK).fit(1e-6 * X)
    with pytest.raises(ValueError, match="the encoder's output is not finite: they are too far from the fitted ones"):
        tiny.transform(with_value(3e38))


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(random_state=0, **QUICK).fit(X)


class Unchanging(torch.nn.Module):
    def forward(self, x):
        return x[:, :2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_neighbors": 1}, r"The 'n_neighbors' parameter .* must be an int in the range \[2, inf\). Got 1"),
        ({"n_neighbors": 5.5}, "'n_neighbors' parameter"),
        ({"n_components": 0}, "'n_components' parameter"),
        ({"metric": "euclidian"}, "The 'metric' parameter .* must be a str among .*'euclidean'.*. Got 'euclidian'"),
        ({"metric": "precomputed"}, r"give the distances as fit\(X, precomputed_distances=...\) instead"),
        ({"metric_kwds": 3}, "'metric_kwds' parameter"),
        ({"metric_kwds": {"p": 3}}, "metric 'euclidean' takes no arguments"),
        ({"metric": "minkowski", "metric_kwds": {"q": 3}}, r"metric 'minkowski' takes \['p'\]"),
        ({"metric": "minkowski", "metric_kwds": {"p": 0.5}}, "p must be a number of at least 1"),
        ({"min_dist": -0.1}, "'min_dist' parameter"),
        ({"min_dist": 2.0}, "min_dist must be at most spread; got min_dist=2.0, spread=1.0"),
        ({"spread": 0}, "'spread' parameter"),
        ({"a": 0.0, "b": 1.0}, "'a' parameter"),
        ({"b": -1.0, "a": 1.0}, "'b' parameter"),
        ({"a": 1.0}, "a and b are given both or neither; got a=1.0, b=None"),
        ({"set_op_mix_ratio": 1.1}, "'set_op_mix_ratio' parameter"),
        ({"local_connectivity": -1}, "'local_connectivity' parameter"),
        ({"local_connectivity": 10**30}, "local_connectivity must be an integer of 64 bits, or a float; got 1000"),
        ({"local_connectivity": 1e30}, "local_connectivity must be at most n_neighbors="),
        ({"n_components": 10**30}, "'n_components' parameter"),
        ({"n_components": True}, "n_components must be a number; got True"),
        ({"min_dist": False}, "min_dist must be a number; got False"),
        ({"batch_size": 10**30}, "'batch_size' parameter"),
        ({"spread": 1e300}, r"spread=1e\+300 and min_dist=.* have no similarity curve"),
        ({"hidden_layer_sizes": [True]}, r"hidden_layer_sizes must hold integers above 0 and below 2\*\*31"),
        ({"init_scale": 10**30}, "init_scale must be an integer of 64 bits, or a float; got 1000"),
        ({"init": (0,)}, "init holds no positions: Expected 2D array"),
        ({"reconstruction_validation": {}, "decoder": True}, "reconstruction_validation holds no rows"),
        ({"input_noise": 1e300}, r"input_noise=1e\+300 is more than the network can be trained with"),
        ({"memory": "/dev/null/nowhere"}, "memory='/dev/null/nowhere' is no folder"),
        ({"metric": lambda x, y: "far"}, "it gives 'far', which is not a number"),
        ({"repulsion_strength": -1}, "'repulsion_strength' parameter"),
        ({"negative_sample_rate": 0}, "'negative_sample_rate' parameter"),
        ({"encoder": "cnn"}, "'encoder' parameter"),
        ({"encoder": torch.nn.Linear(4, 3)}, r"tensor of shape \(2, 2\) \(n_components=2\); it gave shape \(2, 3\)"),
        ({"encoder": torch.nn.Linear(5, 2)}, r"encoder does not take rows of shape \(2, 4\)"),
        ({"encoder": Unchanging()}, "encoder must have parameters that require a gradient; it has none"),
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes must hold integers above 0 .*; got \(8, 0\)"),
        ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes' parameter"),
        ({"activation": "sigmoid"}, "'activation' parameter"),
        ({"input_noise": -1}, "'input_noise' parameter"),
        ({"init": "laplacian"}, "'init' parameter"),
        ({"init": X[:, :3]}, r"init has shape \(30, 3\); .* = \(30, 2\)"),
        ({"init": X[:20, :2]}, r"init has shape \(20, 2\)"),
        ({"init": np.full((30, 2), np.nan)}, "Input init contains NaN"),
        ({"init": "pca", "n_components": 5}, "init='pca' needs n_components <= min"),
        ({"init_scale": 0}, "'init_scale' parameter"),
        ({"init_epochs": 0}, "'init_epochs' parameter"),
        ({"init_batch_size": 0}, "'init_batch_size' parameter"),
        ({"init_learning_rate": 0}, "'init_learning_rate' parameter"),
        ({"n_epochs": 0}, "'n_epochs' parameter"),
        ({"batches_per_epoch": 0}, "'batches_per_epoch' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"learning_rate": 0}, "'learning_rate' parameter"),
        ({"device": 3}, "'device' parameter"),
        ({"device": "gpu"}, "device='gpu' is not a device for this estimator; allowed are 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, "device='meta' is not a device for this estimator"),
        ({"n_jobs": 1.5}, "'n_jobs' parameter"),
        ({"n_jobs": 0}, "n_jobs == 0"),
        ({"random_state": "a"}, "'random_state' parameter"),
        ({"verbose": "a"}, "'verbose' parameter"),
        ({"report_interval": 0}, "'report_interval' parameter"),
        ({"report_interval": {"spectral_init": 2}}, "report_interval must have an integer above 0 for each of"),
    ],
)
def test_a_parameter_out_of_its_range_is_named_and_leaves_no_trace(parameters, message):
    umap = ParametricUMAP(**{**QUICK, **parameters})
    before = vars(umap).copy()
    with pytest.raises(ValueError, match=message):
        umap.fit(X)
    assert vars(umap) == before


def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"device='cuda' was asked for, but torch finds 0 CUDA device\(s\) here"):
        ParametricUMAP(device="cuda").fit(X)


@pytest.mark.parametrize(("n_samples", "taken"), [(10, 9), (3, 2), (2, 2)])
def test_too_many_neighbors_are_cut_with_a_warning(n_samples, taken):
    rows = X[:n_samples]
    match = f"n_neighbors=15 is too large for {n_samples} rows; {taken} is taken instead"
    with pytest.warns(UserWarning, match=match) as caught:
        cut = ParametricUMAP(random_state=0, **{**QUICK, "n_neighbors": 15}).fit(rows)
    assert [warning.filename for warning in caught] == [__file__]  # the line that called fit
    fitting = ParametricUMAP(random_state=0, **{**QUICK, "n_neighbors": taken}).fit(rows)
    np.testing.assert_array_equal(cut.embedding_, fitting.embedding_)


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        (plan, "find_neighbors"),
        (plan, "fuzzy_graph"),
        (plan, "starting_positions"),
        (plan.Training, "run_epoch"),
        (fitted_module, "embed"),
    ],
)
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_fit_leaves_the_estimator_as_it_was(monkeypatch, fitted, module, stage, interruption):
    before = vars(fitted).copy()

    def interrupted(*args, **kwargs):
        raise interruption

    monkeypatch.setattr(module, stage, interrupted)
    with pytest.raises(interruption):
        fitted.fit(X[:, :3])
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is before[name] for name in before)
    monkeypatch.undo()
    np.testing.assert_array_equal(fitted.transform(X), fitted.embedding_)


def test_a_diverging_fit_is_told_and_leaves_no_trace():
    umap = ParametricUMAP(**{**QUICK, "learning_rate": 1e30, "n_epochs": 5})
    with pytest.raises(
        FloatingPointError,
        match=r"the loss of phase 'main_embedding' became .* smaller .*learning_rate may help; .* 1e\+30",
    ):
        umap.fit(X)
    assert not hasattr(umap, "embedding_")


@pytest.mark.parametrize("parameters", [{"init_learning_rate": 1e30}, {"init_scale": 1e38}])
def test_the_first_phase_blames_its_own_parameters(parameters):
    with pytest.raises(FloatingPointError, match="a smaller init_learning_rate or init_scale "):
        ParametricUMAP(random_state=0, **QUICK | parameters).fit(X)


SQUARE = np.linalg.norm(X[:, None] - X, axis=2)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("X", lambda masked: ParametricUMAP(**QUICK).fit(masked(X))),
        ("y", lambda masked: ParametricUMAP(target_metric="categorical", **QUICK).fit(X, masked(np.arange(30) % 3))),
        ("init", lambda masked: ParametricUMAP(init=masked(X[:, :2]), **QUICK).fit(X)),
        ("precomputed_distances", lambda masked: ParametricUMAP(**QUICK).fit(X, precomputed_distances=masked(SQUARE))),
        (
            "landmark_positions",
            lambda masked: ParametricUMAP(**QUICK).fit(X, landmark_positions=masked(X[:, :2])),
        ),
        (
            "precomputed_knn",
            lambda masked: ParametricUMAP(precomputed_knn=(np.argsort(SQUARE), masked(np.sort(SQUARE))), **QUICK).fit(
                X
            ),
        ),
        (
            "reconstruction_validation",
            lambda masked: ParametricUMAP(decoder=True, reconstruction_validation=masked(X), **QUICK).fit(X),
        ),
        ("embedding", lambda masked: trustworthiness(X, masked(X[:, :2]))),
        ("y", lambda masked: knn_accuracy(X, masked(np.arange(30) % 3))),
        ("Z", lambda masked: EmbeddingDisplay.from_embedding(masked(X[:, :2]))),
    ],
)
def test_masked_values_are_refused(name, call):
    call(lambda values: np.ma.array(values, mask=False))
    with pytest.raises(ValueError, match=f"{name} has masked values"):
        call(lambda values: np.ma.array(values, mask=np.arange(values.size) == 3))


def test_an_array_with_nothing_masked_is_one_like_others():
    masked, usual = (ParametricUMAP(random_state=0, **QUICK).fit(rows) for rows in (np.ma.array(X, mask=False), X))
    np.testing.assert_array_equal(masked.embedding_, usual.embedding_)


def test_tensors_without_values_are_refused(fitted):
    empty = torch.empty(X.shape, device="meta")
    for method in (ParametricUMAP(**QUICK).fit, fitted.transform):
        with pytest.raises(ValueError, match="X is a tensor on the device 'meta', which holds no values"):
            method(empty)
