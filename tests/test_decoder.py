"""The way back: rows from coordinates."""

import numpy as np
import onnxruntime
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from parametric_umap import ParametricUMAP

X = load_digits().data
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}


def error(umap, rows):
    return np.square(umap.inverse_transform(umap.transform(rows)) - rows).mean()


def error_of_pca(n_components, rows, unseen):
    pca = PCA(n_components).fit(rows)
    return np.square(pca.inverse_transform(pca.transform(unseen)) - unseen).mean()


def test_mnist_is_reconstructed_better_than_by_pca(mnist):
    rows, _, unseen, _ = mnist
    umap = ParametricUMAP(decoder=True, batches_per_epoch=8, random_state=0).fit(rows[:5000])
    assert error(umap, unseen) < error_of_pca(2, rows[:5000], unseen)


def test_mnist_in_32_components_is_reconstructed_better_than_by_pca_and_umap_learn(mnist):
    rows, _, unseen, _ = mnist
    how = {"autoencoder": True, "reconstruction_weight": 100, "hidden_layer_sizes": (256, 256), "batches_per_epoch": 8}
    umap = ParametricUMAP(n_components=32, decoder=True, random_state=0, **how).fit(rows[:5000])
    of_umap_learn = 0.01365  # 0.5.12: autoencoder_loss=True, mean squared error of weight 100, on the same rows
    assert error(umap, unseen) < min(of_umap_learn, error_of_pca(32, rows[:5000], unseen))


@pytest.mark.parametrize("loss", ["mse", "bce", lambda x, y: (x - y).abs().mean()])
def test_a_decoder_learns_by_any_loss_and_its_curves_say_so(loss):
    rows = X / 16
    umap = ParametricUMAP(
        decoder=True,
        reconstruction_loss=loss,
        reconstruction_validation=0.2,
        n_epochs=10,
        batches_per_epoch=20,
        random_state=0,
    ).fit(rows)
    for name in ("reconstruction", "reconstruction_validation"):
        curve = umap.loss_curve_[name]
        assert curve.shape == (10,) and curve[-1] < 0.9 * curve[0]
    assert np.square(umap.inverse_transform(umap.embedding_) - rows).mean() < rows.var(axis=0).mean()
    if loss == "bce":
        assert umap.inverse_transform(100 * umap.embedding_).min() >= 0


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_rows_of_any_unit_are_reconstructed(unit):
    how = {"decoder": True, "reconstruction_validation": 0.2} | QUICK
    usual, other = (ParametricUMAP(**how).fit(rows) for rows in (X, X * unit))
    for name in ("reconstruction", "reconstruction_validation"):
        np.testing.assert_allclose(other.loss_curve_[name], usual.loss_curve_[name], rtol=0.1)


def test_a_far_row_takes_nothing_from_the_reconstruction_of_the_others():
    how = {"decoder": True, "n_epochs": 10, "batches_per_epoch": 20, "random_state": 0}
    far = np.full((1, 64), 1e9)
    alone, beside = (ParametricUMAP(**how).fit(rows) for rows in (X, np.vstack([X, far])))
    assert error(beside, X) < 1.1 * error(alone, X)


def test_the_validation_loss_is_the_one_of_the_rows_given():
    rows = X[:1000]
    umap = ParametricUMAP(decoder=True, reconstruction_validation=X[1000:], **QUICK).fit(rows)
    expected = error(umap, X[1000:]) / rows.var(axis=0).mean()
    assert umap.loss_curve_["reconstruction_validation"][-1] == pytest.approx(expected, rel=1e-3)


def test_a_decoder_alone_does_not_move_the_map_and_an_autoencoder_does():
    plain = ParametricUMAP(hidden_layer_sizes=(16,), **QUICK).fit(X)
    beside = ParametricUMAP(hidden_layer_sizes=(16,), decoder=True, **QUICK).fit(X)
    within = ParametricUMAP(hidden_layer_sizes=(16,), decoder=True, autoencoder=True, **QUICK).fit(X)
    np.testing.assert_allclose(beside.embedding_, plain.embedding_, atol=1e-3)
    assert np.abs(within.embedding_ - plain.embedding_).max() > 0.01
    assert not hasattr(plain, "inverse_transform")


@pytest.mark.parametrize(
    "decoder",
    [torch.nn.Linear(2, 64), torch.nn.Linear, torch.nn.Sequential(torch.nn.Linear(2, 9), torch.nn.Linear(9, 64))],
)
@pytest.mark.parametrize("encoder", [None, torch.nn.Linear(64, 2)])
def test_a_decoder_of_the_users_is_trained_and_not_changed(decoder, encoder):
    umap = ParametricUMAP(encoder=encoder, decoder=decoder, **QUICK)
    first, second = clone(umap).fit(X), clone(umap).fit(X)
    assert first.inverse_transform(first.embedding_).shape == X.shape
    np.testing.assert_array_equal(first.inverse_transform(X[:, :2]), second.inverse_transform(X[:, :2]))
    if isinstance(decoder, torch.nn.Linear):
        assert not torch.equal(decoder.weight, first.decoder_.weight)


def test_sparse_rows_are_reconstructed_as_dense_ones():
    dense, sparse = (
        ParametricUMAP(decoder=True, n_epochs=10, batches_per_epoch=10, random_state=0).fit(rows)
        for rows in (X, sp.csr_array(X))
    )
    of_dense, of_sparse = (np.square(umap.inverse_transform(umap.embedding_) - X).mean() for umap in (dense, sparse))
    assert of_sparse == pytest.approx(of_dense, rel=0.1)
    assert of_sparse < error_of_pca(2, X, X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"decoder": True, "metric": "minkowski", "metric_kwds": {"p": 3}},
        {"decoder": True, "reconstruction_loss": "bce"},
        {"decoder": True, "hidden_layer_sizes": ()},
        {"decoder": torch.nn.Linear},
    ],
)
@pytest.mark.filterwarnings("ignore:decoder cannot be written")
def test_a_decoder_is_kept_with_its_map(parameters, tmp_path):
    umap = ParametricUMAP(**parameters, **QUICK).fit(X / 16)
    umap.save(tmp_path / "umap.safetensors")
    own = None if parameters["decoder"] is True else parameters["decoder"]
    loaded = ParametricUMAP.load(tmp_path / "umap.safetensors", decoder=own)
    assert loaded.get_params() == umap.get_params()
    rows = umap.inverse_transform(umap.embedding_)
    np.testing.assert_array_equal(loaded.inverse_transform(umap.embedding_), rows)
    umap.to_onnx(tmp_path / "decoder.onnx", decoder=True)
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    (of_onnx,) = session.run(["X"], {"embedding": umap.embedding_})
    np.testing.assert_allclose(of_onnx, rows, atol=1e-4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"decoder": torch.nn.Linear(3, 64)}, r"decoder does not take coordinates of shape \(2, 2\)"),
        ({"decoder": torch.nn.Linear(2, 63)}, r"tensor of shape \(2, 64\); it gave \(2, 63\)"),
        ({"decoder": lambda n, m: None}, r"decoder\(2, 64\) must give a module"),
        ({"decoder": True, "encoder": torch.nn.Linear(64, 2)}, "decoder=True mirrors the default encoder"),
        ({"decoder": True, "reconstruction_loss": "bce"}, "'bce' needs X from 0 to 1; it goes from 0 to 16"),
        ({"decoder": True, "reconstruction_validation": X[:, :9]}, "reconstruction_validation has 9 features"),
        ({"decoder": True, "reconstruction_validation": 1.5}, "reconstruction_validation"),
        ({"decoder": True, "reconstruction_loss": lambda a, b: (a - b).square()}, r"must give a tensor of shape \(\)"),
        ({"decoder": True, "reconstruction_loss": "mae"}, "reconstruction_loss"),
    ],
)
def test_what_cannot_be_reconstructed_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        ParametricUMAP(**parameters, **QUICK).fit(X)


def test_rows_for_validation_are_in_the_range_of_the_loss_too():
    umap = ParametricUMAP(decoder=True, reconstruction_loss="bce", reconstruction_validation=X, **QUICK)
    with pytest.raises(ValueError, match="'bce' needs reconstruction_validation from 0 to 1; it goes from 0 to 16"):
        umap.fit(X / 16)


def test_a_batch_may_hold_no_row_of_the_decoders():
    umap = ParametricUMAP(decoder=True, reconstruction_validation=0.95, batch_size=4, sampling="edges", **QUICK)
    assert np.isfinite(umap.fit(X[:150]).loss_curve_["reconstruction"]).all()


def test_a_choice_of_numpy_is_one_too():
    assert not hasattr(ParametricUMAP(decoder=np.False_, **QUICK).fit(X[:200]), "decoder_")
    assert ParametricUMAP(decoder=np.True_, **QUICK).fit(X[:200]).inverse_transform([[0, 0]]).shape == (1, 64)


def test_wrong_coordinates_are_named():
    umap = ParametricUMAP(decoder=True, **QUICK).fit(X)
    with pytest.raises(ValueError, match="X has 3 coordinates, but the map has 2"):
        umap.inverse_transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="X contains NaN"):
        umap.inverse_transform([[np.nan, 0]])
