"""The map itself: what `fit` leaves behind, that it repeats, that it leaves the world alone, that it is sensible."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits, make_blobs
from sklearn.manifold import trustworthiness
from sklearn.metrics import pairwise_distances
from umap.umap_ import find_ab_params

from parametric_umap import ParametricUMAP
from parametric_umap.encoder import Standardize
from parametric_umap.metrics import knn_accuracy, neighborhood_recall

digits = load_digits()
X, y = digits.data[:600], digits.target[:600]
X_new, y_new = digits.data[600:], digits.target[600:]
SHORT = {"n_epochs": 10, "batches_per_epoch": 20, "random_state": 0}
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "hidden_layer_sizes": (32, 32), "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(random_state=0).fit(X)


def test_digits_are_told_apart_on_rows_never_seen(fitted):
    mapped = fitted.transform(X_new)
    assert knn_accuracy(fitted.embedding_, y, mapped, y_new) > 0.85
    assert trustworthiness(X_new, mapped, n_neighbors=15) > 0.93
    assert trustworthiness(X, fitted.embedding_, n_neighbors=15) > 0.96
    assert neighborhood_recall(X_new, mapped) > 0.35


def test_mnist_is_mapped_no_worse_than_by_paradime(mnist):
    X_train, y_train, X_test, y_test = mnist
    umap = ParametricUMAP(random_state=0).fit(X_train[:5000])
    mapped = umap.transform(X_test)
    assert knn_accuracy(umap.embedding_, y_train[:5000], mapped, y_test) > 0.738
    assert trustworthiness(X_train[:5000], umap.embedding_, n_neighbors=15) > 0.905
    assert trustworthiness(X_test[5000:], mapped[5000:], n_neighbors=15) > 0.884
    assert neighborhood_recall(X_train[:5000], umap.embedding_) > 0.170
    assert neighborhood_recall(X_test[5000:], mapped[5000:]) > 0.152


def test_fitted_attributes(fitted):
    assert fitted.embedding_.shape == fitted.init_embedding_.shape == (600, 2)
    assert fitted.embedding_.dtype == np.float32
    assert sp.issparse(fitted.graph_) and fitted.graph_.format == "csr" and fitted.graph_.shape == (600, 600)
    assert fitted.n_features_in_ == 64
    assert fitted.device_.type in ("cpu", "cuda")
    np.testing.assert_allclose((fitted.a_, fitted.b_), find_ab_params(1.0, 0.1), rtol=1e-6)
    np.testing.assert_allclose(fitted.init_embedding_.std(axis=0), fitted.init_scale, rtol=1e-4)
    assert set(fitted.loss_curve_) == {"spectral_init", "main_embedding"}
    for losses in fitted.loss_curve_.values():
        assert losses[-1] < losses[0]
    assert len(fitted.loss_curve_["main_embedding"]) == fitted.n_epochs


def test_the_embedding_is_the_map_of_the_fitted_rows(fitted):
    np.testing.assert_array_equal(fitted.embedding_, fitted.transform(X))
    fresh = ParametricUMAP(**QUICK)
    np.testing.assert_array_equal(fresh.fit_transform(X), fresh.transform(X))


def test_the_encoder_maps_tensors_in_the_users_units(fitted):
    with torch.no_grad():
        mapped = fitted.encoder_(torch.from_numpy(X_new).to(fitted.device_)).cpu().numpy()
    np.testing.assert_allclose(mapped, fitted.transform(X_new), atol=1e-4)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(
    "encoder", [None, torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.Dropout(), torch.nn.Linear(8, 2))]
)
@pytest.mark.parametrize("init", ["spectral", "pca", "random"])
def test_the_same_seed_gives_the_same_bits(init, encoder):
    first, second = (ParametricUMAP(init=init, encoder=encoder, **QUICK).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    for phase, losses in first.loss_curve_.items():
        np.testing.assert_array_equal(losses, second.loss_curve_[phase])
    other = ParametricUMAP(init=init, encoder=encoder, **{**QUICK, "random_state": 1}).fit(X)
    assert not np.array_equal(first.embedding_, other.embedding_)


def test_a_random_state_instance_is_drawn_from():
    random_state = np.random.RandomState(0)
    first, second = (ParametricUMAP(**{**QUICK, "random_state": random_state}).fit(X).embedding_ for _ in range(2))
    again = ParametricUMAP(**{**QUICK, "random_state": np.random.RandomState(0)}).fit(X).embedding_
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("random_state", [None, 0])
@pytest.mark.parametrize("encoder", [None, torch.nn.Sequential(torch.nn.Linear(64, 2), torch.nn.Dropout(0.1))])
def test_the_world_is_left_as_it_was_found(encoder, random_state):
    def world():
        return (
            np.random.get_state()[1].tobytes() + bytes(np.random.get_state()[2]),
            torch.get_rng_state().numpy().tobytes(),
            torch.get_num_threads(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
        )

    umap = ParametricUMAP(encoder=encoder, n_jobs=1, **{**QUICK, "random_state": random_state})
    before = world()
    umap.fit(X).transform(X_new)
    assert world() == before


def test_without_a_seed_fits_differ_whatever_the_global_states():
    unseeded = {**QUICK, "random_state": None}
    embeddings = []
    for _ in range(2):
        np.random.seed(0)
        torch.manual_seed(0)
        embeddings.append(ParametricUMAP(**unseeded).fit(X).embedding_)
    assert not np.array_equal(*embeddings)


@pytest.mark.parametrize("setting", [torch.no_grad, torch.inference_mode])
def test_a_fit_trains_within_no_grad(setting):
    expected = ParametricUMAP(**QUICK).fit(X).embedding_
    with setting():
        np.testing.assert_array_equal(ParametricUMAP(**QUICK).fit(X).embedding_, expected)


def test_a_float64_default_dtype_changes_nothing():
    expected = ParametricUMAP(**QUICK).fit(X)
    torch.set_default_dtype(torch.float64)
    try:
        umap = ParametricUMAP(**QUICK).fit(X)
        np.testing.assert_array_equal(umap.embedding_, expected.embedding_)
        np.testing.assert_array_equal(umap.transform(X_new), expected.transform(X_new))
    finally:
        torch.set_default_dtype(torch.float32)


def test_transform_from_many_threads_and_in_any_batches(fitted):
    whole = fitted.transform(X_new)
    pieces = [slice(start, start + n) for start in range(0, len(X_new), 100) for n in (1, 7, 100)]
    with ThreadPoolExecutor(8) as threads:
        mapped = list(threads.map(lambda piece: fitted.transform(X_new[piece]), pieces))
    for piece, rows in zip(pieces, mapped, strict=True):
        np.testing.assert_allclose(rows, whole[piece], atol=1e-4)


class Image(torch.nn.Module):
    """A small convolutional network with all that differs between training and evaluation."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Unflatten(1, (1, 8, 8)),
            torch.nn.Conv2d(1, 16, 3),
            torch.nn.BatchNorm2d(16),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(576, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 2),
        )

    def forward(self, x):
        return self.body(x / 16)


def test_a_module_of_the_users_is_trained_as_a_copy():
    torch.manual_seed(0)
    image = Image()
    before = {name: tensor.clone() for name, tensor in image.state_dict().items()}
    umap = ParametricUMAP(encoder=image, **SHORT).fit(X[:501])  # 501: a batch of one row would upset BatchNorm
    assert isinstance(umap.encoder_, Image) and umap.encoder_ is not image and not umap.encoder_.training
    assert umap.encoder is image and image.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in image.state_dict().items())
    assert knn_accuracy(umap.embedding_, y[:501], umap.transform(X_new), y_new) > 0.7


@pytest.mark.parametrize("decoder", [None, torch.nn.Linear(2, 64)])
def test_frozen_layers_stay_frozen(decoder):
    class Watched(torch.nn.Dropout):
        def forward(self, x):
            modes.add(self.training)
            return super().forward(x)

    modes = set()
    pretrained = torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.BatchNorm1d(16), torch.nn.ReLU(), Watched())
    pretrained.requires_grad_(False)
    encoder = torch.nn.Sequential(pretrained, torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 2))
    umap = ParametricUMAP(encoder=encoder, decoder=decoder, reconstruction_validation=0.2, **QUICK).fit(X)
    umap.partial_fit(X + 5)
    for name, before in pretrained.state_dict().items():
        assert torch.equal(umap.encoder_[0].state_dict()[name].cpu(), before), name
    assert modes == {False}
    assert not torch.equal(umap.encoder_[1].running_mean.cpu(), encoder[1].running_mean)
    assert not torch.equal(umap.encoder_[2].weight.cpu(), encoder[2].weight)


def test_given_positions_are_learned():
    angle = np.linspace(0, 2 * np.pi, 600)
    circle = 10 * np.column_stack([np.cos(angle), np.sin(angle)])
    rows = np.column_stack([circle, np.zeros((600, 3))])
    umap = ParametricUMAP(
        init=circle, init_epochs=100, n_epochs=1, batches_per_epoch=1, learning_rate=1e-9, random_state=0
    )
    umap.fit(rows)
    np.testing.assert_array_equal(umap.init_embedding_, circle.astype(np.float32))
    assert np.abs(umap.embedding_ - circle).max() < 1


def test_init_random_has_no_first_phase():
    umap = ParametricUMAP(init="random", **QUICK).fit(X)
    assert len(umap.loss_curve_["spectral_init"]) == 0
    assert umap.init_embedding_.shape == (600, 2)
    assert not np.allclose(umap.init_embedding_, umap.embedding_)


@pytest.mark.parametrize("n_components", [1, 3, 10])
def test_other_numbers_of_components(n_components):
    umap = ParametricUMAP(n_components=n_components, **SHORT).fit(X)
    assert umap.embedding_.shape == (600, n_components)
    assert knn_accuracy(umap.embedding_, y, umap.transform(X_new), y_new) > (0.5 if n_components == 1 else 0.85)


def test_cosine_ignores_the_length_of_rows():
    lengths = np.random.default_rng(0).uniform(0.1, 10, size=(600, 1))
    graphs = [ParametricUMAP(metric="cosine", **QUICK).fit(rows).graph_ for rows in (X, X * lengths)]
    assert abs(graphs[0] - graphs[1]).max() < 1e-3


def test_far_apart_clusters_stay_whole_and_apart():
    rows, label = make_blobs([60, 200, 340], 10, centers=1000 * np.eye(3, 10), random_state=0)
    umap = ParametricUMAP(**SHORT).fit(rows)
    assert knn_accuracy(umap.embedding_, label) == 1
    distances = pairwise_distances(umap.embedding_)
    same = label[:, None] == label[None]
    assert np.median(distances[~same]) > 2 * np.median(distances[same])


COPIES = np.repeat(X[:20], 30, axis=0)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((50, 3)),
        np.full((50, 3), 1e9),
        COPIES,
        np.vstack([X[:100]] * 3),
        np.random.default_rng(0).normal(size=(300, 5)),
        np.arange(40.0)[:, None],
        np.random.default_rng(0).standard_t(1, size=(300, 5)) * 1e6,
        np.vstack([np.zeros((30, 4)), np.eye(4)]),
        sp.csr_array((50, 10)),
        X[:2],
        X[:3],
    ],
    ids=["zeros", "constant", "copies", "triples", "cluster", "line", "tails", "spikes", "empty", "two", "three"],
)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.filterwarnings("ignore:n_neighbors")
def test_awkward_rows_give_a_finite_map(rows, metric):
    umap = ParametricUMAP(metric=metric, n_epochs=3, batches_per_epoch=20, random_state=0).fit(rows)
    assert np.isfinite(umap.embedding_).all() and np.isfinite(umap.init_embedding_).all()
    assert all(np.isfinite(losses).all() for losses in umap.loss_curve_.values())
    extent = 10_000 if rows is COPIES else 1000  # nothing draws the places of mere copies together
    assert np.abs(umap.embedding_).max() < extent


def test_duplicates_share_a_place_and_do_not_disturb_the_others():
    umap = ParametricUMAP(**SHORT).fit(np.vstack([X, X[:50], X[:50]]))
    np.testing.assert_allclose(umap.embedding_[600:650], umap.embedding_[:50], atol=1e-4)
    assert trustworthiness(X, umap.embedding_[:600], n_neighbors=15) > 0.95


@pytest.mark.parametrize(("scale", "offset"), [(1e-20, 0), (1e15, 0), (1, 1e6), (1e-3, -1e6)])
def test_units_and_offset_of_the_data_do_not_matter(scale, offset):
    umap = ParametricUMAP(**SHORT).fit(X * scale + offset)
    assert trustworthiness(X, umap.embedding_, n_neighbors=15) > 0.95
    assert trustworthiness(X_new, umap.transform(X_new * scale + offset), n_neighbors=15) > 0.93


def test_verbose_prints_stages_with_the_time_and_losses_at_the_interval():
    with redirect_stdout(io.StringIO()) as printed:
        intervals = {"spectral_init": 2, "main_embedding": 3}
        ParametricUMAP(verbose=True, report_interval=intervals, **{**QUICK, "n_epochs": 7, "init_epochs": 4}).fit(X)
    lines = printed.getvalue().splitlines()
    assert all(re.match(r" *\d+\.\d\d s  \S", line) for line in lines)
    for stage in ("neighbors", "graph", "initial positions", "spectral_init", "main_embedding", "embedding"):
        assert any(f"s  {stage}" in line for line in lines)
    epochs = re.findall(r"(\w+): epoch (\d+)/\d+, loss \d", printed.getvalue())
    assert epochs == [("spectral_init", e) for e in "24"] + [("main_embedding", e) for e in "367"]
    with redirect_stdout(io.StringIO()) as printed:
        ParametricUMAP(**QUICK).fit(X)
    assert printed.getvalue() == ""


def test_half_the_epochs_are_half_the_batches():
    class Counting(torch.nn.Linear):
        n_calls = 0

        def forward(self, x):
            Counting.n_calls += self.training
            return super().forward(x)

    def batches(n_epochs):
        before = Counting.n_calls
        ParametricUMAP(encoder=Counting(64, 2), init="random", n_epochs=n_epochs, random_state=0).fit(X)
        return Counting.n_calls - before

    assert 400 < batches(30) == 2 * batches(15) == 30 * batches(1)


@pytest.mark.parametrize("widths", [(7, 5), [7, 5], np.array([7, 5])])
def test_hidden_layers_are_given_as_to_scikit_learns_networks(widths):
    def drawn(hidden_layer_sizes):
        return ParametricUMAP(**QUICK | {"hidden_layer_sizes": hidden_layer_sizes}).fit_transform(X)

    np.testing.assert_array_equal(drawn(widths), drawn((7, 5)))
    np.testing.assert_array_equal(drawn(7), drawn((7,)))


def test_n_jobs_limits_threads_during_the_fit_only(monkeypatch):
    seen = []

    class Spy(torch.nn.Linear):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return super().forward(x)

    before = torch.get_num_threads()
    ParametricUMAP(encoder=Spy(64, 2), n_jobs=1, **QUICK).fit(X)
    assert set(seen) == {1} and torch.get_num_threads() == before


@pytest.mark.cuda
def test_cuda_maps_as_well_as_the_cpu_and_repeats_its_bits():
    first, second = (ParametricUMAP(device="cuda", random_state=0).fit(X) for _ in range(2))
    assert first.device_.type == "cuda" and next(first.encoder_.parameters()).is_cuda
    np.testing.assert_array_equal(first.embedding_, second.embedding_)
    assert trustworthiness(X_new, first.transform(X_new), n_neighbors=15) > 0.93


def test_without_input_noise_rows_of_extreme_units_reach_an_encoder_of_the_users():
    X = np.random.default_rng(0).normal(size=(60, 4)) * 1e25
    encoder = torch.nn.Sequential(Standardize.of(X), torch.nn.Linear(4, 2))
    model = ParametricUMAP(encoder=encoder, input_noise=0.0, n_epochs=2, batches_per_epoch=2, random_state=0)
    assert np.isfinite(model.fit_transform(X)).all()
