"""Models kept as safetensors and as ONNX: the same map, no code in the file, nothing half written."""

import json
import os
import re
import stat
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from children import killed_in_time, script
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from parametric_umap import ParametricUMAP, persistence
from parametric_umap.atomic import replacing
from parametric_umap.neighbors import nearest_neighbors

X = load_digits().data
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}
DATA = Path(__file__).parent / "data"
MODELS = ("plain", "everything")


def rows_of(name, part=slice(200)):
    """Rows for a kept model, by default those that it was fitted on, as ``data/keep.py`` made them."""
    return X[part] if name == "plain" else pd.DataFrame(np.hstack([X[part]] * 3)).add_prefix("pixel")


class Narrow(torch.nn.Sequential):
    def __init__(self, n_features, n_components):
        super().__init__(torch.nn.Linear(n_features, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, n_components))


@pytest.fixture(scope="module")
def fitted():
    return ParametricUMAP(hidden_layer_sizes=(32, 16), activation="tanh", **QUICK).fit(X[:1000])


def assert_same(loaded, umap, rows=X[1000:]):
    np.testing.assert_array_equal(loaded.transform(rows), umap.transform(rows))
    np.testing.assert_array_equal(loaded.novelty_score(rows), umap.novelty_score(rows))
    for name in set(vars(umap)) - set(umap.get_params()):
        value = getattr(umap, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(loaded, name), value)
        elif sp.issparse(value):
            assert (getattr(loaded, name) != value).nnz == 0
        elif isinstance(value, dict):
            assert all((getattr(loaded, name)[key] == part).all() for key, part in value.items())
        elif not isinstance(value, torch.nn.Module):
            assert str(getattr(loaded, name)) == str(value)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"encoder": "linear"},
        {"pca_variance": 0.5},
        {"init": "pca", "n_components": 3, "device": torch.device("cpu")},
        {"decoder": True, "n_components": np.int64(3), "hidden_layer_sizes": tuple(np.array([16, 8]))},
        {"decoder": True, "encoder": "linear"},
    ],
)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array, lambda x: pd.DataFrame(x).add_prefix("pixel")])
def test_a_saved_model_is_the_same(parameters, container, tmp_path):
    rows = container(np.hstack([X, X, X]))
    umap = ParametricUMAP(**QUICK, **parameters).fit(rows[:1000])
    umap.save(tmp_path / "umap.safetensors")
    loaded = ParametricUMAP.load(tmp_path / "umap.safetensors")
    for name, value in umap.get_params().items():
        value = str(value) if isinstance(value, torch.device) else value
        np.testing.assert_equal(getattr(loaded, name), value)
    assert_same(loaded, umap, rows[1000:])
    if umap.decoder:
        points = umap.embedding_[:9]
        np.testing.assert_array_equal(loaded.inverse_transform(points), umap.inverse_transform(points))


@pytest.mark.parametrize("encoder", [Narrow(64, 2), Narrow])
def test_a_users_encoder_is_rebuilt_only_from_what_is_passed(encoder, tmp_path):
    umap = ParametricUMAP(encoder=encoder, **QUICK).fit(X[:1000])
    umap.save(tmp_path / "umap")
    with pytest.raises(ValueError, match="holds weights for a Narrow; give one as encoder"):
        ParametricUMAP.load(tmp_path / "umap")
    with pytest.raises(ValueError, match="does not take the weights"):
        ParametricUMAP.load(tmp_path / "umap", encoder=torch.nn.Linear(64, 2))
    for given in (Narrow, Narrow(64, 2)):
        loaded = ParametricUMAP.load(tmp_path / "umap", encoder=given)
        assert loaded.encoder is given
        np.testing.assert_array_equal(loaded.transform(X[1000:]), umap.transform(X[1000:]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("encoder", [None, Narrow])
def test_a_users_decoder_is_rebuilt_only_from_what_is_passed(encoder, tmp_path):
    umap = ParametricUMAP(encoder=encoder, decoder=Narrow, **QUICK).fit(X[:1000])
    umap.save(tmp_path / "umap")
    with pytest.raises(ValueError, match="give one as"):
        ParametricUMAP.load(tmp_path / "umap")
    state = torch.get_rng_state()
    loaded = ParametricUMAP.load(tmp_path / "umap", encoder=encoder, decoder=Narrow)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(loaded.transform(X), umap.transform(X))
    np.testing.assert_array_equal(loaded.inverse_transform(umap.embedding_), umap.inverse_transform(umap.embedding_))


def test_arrays_within_parameters_are_kept(tmp_path):
    given = nearest_neighbors(X[:200], 15)
    validation = sp.csr_array(X[200:250])
    measured_by = {"metric": "seuclidean", "metric_kwds": {"sigma": np.arange(1.0, 65)}}
    decoded = {"decoder": True, "reconstruction_validation": validation}
    umap = ParametricUMAP(precomputed_knn=given, **measured_by, **decoded, **QUICK)
    umap.fit(X[:200]).set_output(transform="pandas").save(tmp_path / "umap")
    loaded = ParametricUMAP.load(tmp_path / "umap")
    np.testing.assert_array_equal(loaded.precomputed_knn, given)
    np.testing.assert_array_equal(loaded.metric_kwds["sigma"], measured_by["metric_kwds"]["sigma"])
    assert loaded.score(X[:100]) == umap.score(X[:100])
    assert (loaded.reconstruction_validation != validation).nnz == 0
    assert isinstance(loaded.transform(X), pd.DataFrame)
    np.testing.assert_array_equal(loaded.fit(X[:200]).embedding_, umap.embedding_)


def test_what_a_file_cannot_hold_is_named(tmp_path):
    umap = ParametricUMAP(**{**QUICK, "random_state": np.random.RandomState(0)}, metric=plain).fit(X[:100])
    with pytest.warns(UserWarning, match="^metric, random_state cannot be written"):
        umap.save(tmp_path / "umap")
    loaded = ParametricUMAP.load(tmp_path / "umap")
    assert loaded.metric == "euclidean" and loaded.random_state is None
    np.testing.assert_array_equal(loaded.transform(X), umap.transform(X))


def plain(x, y):
    return np.abs(x - y).sum()


def test_given_positions_and_numbers_of_numpy_are_kept(tmp_path):
    positions = np.random.default_rng(0).normal(size=(1000, 2))
    umap = ParametricUMAP(init=positions, n_neighbors=np.int64(7), min_dist=np.float32(0.25), **QUICK).fit(X[:1000])
    umap.save(tmp_path / "umap")
    loaded = ParametricUMAP.load(tmp_path / "umap")
    np.testing.assert_array_equal(loaded.init, positions)
    assert loaded.n_neighbors == 7 and loaded.min_dist == 0.25
    np.testing.assert_array_equal(loaded.fit(X[:1000]).embedding_, umap.embedding_)


@pytest.mark.parametrize("version", [1])
@pytest.mark.parametrize("name", MODELS)
def test_files_of_earlier_versions_are_read(name, version):
    loaded = ParametricUMAP.load(DATA / f"{name}-{version}.safetensors")
    expected, rows = np.load(DATA / f"{name}-{version}.npy"), rows_of(name)
    np.testing.assert_allclose(loaded.transform(rows[:50]), expected, atol=1e-4)
    np.testing.assert_allclose(loaded.embedding_[:50], expected, atol=1e-4)
    assert 0.5 < np.median(loaded.novelty_score(rows_of(name, slice(200, 400)))) < 2
    assert loaded.n_features_in_ == rows.shape[1]
    if name == "everything":
        assert list(loaded.feature_names_in_) == list(rows.columns)
        assert loaded.metric_kwds["sigma"].shape == (192,)
        given_back = loaded.inverse_transform(loaded.embedding_)
        assert np.square(given_back - rows).mean(axis=None) < rows.var(axis=0).mean()


def test_a_file_says_what_it_is_and_one_of_a_later_version_is_refused(fitted, tmp_path):
    path = tmp_path / "umap"
    fitted.save(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "parametric_umap"
    assert json.loads(metadata["parameters"])["activation"] == "tanh"
    save_file(load_file(path), path, metadata | {"format_version": "999"})
    with pytest.raises(ValueError, match="later than this one"):
        ParametricUMAP.load(path)
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="is not a file of a ParametricUMAP"):
        ParametricUMAP.load(path)
    path.write_bytes(b"pickle")
    with pytest.raises(ValueError, match="is not a file of a ParametricUMAP"):
        ParametricUMAP.load(path)
    with pytest.raises(FileNotFoundError):
        ParametricUMAP.load(tmp_path / "missing")


def test_a_file_is_written_whole_or_not_at_all(fitted, tmp_path, monkeypatch):
    path = tmp_path / "umap"
    fitted.save(path)
    before = path.read_bytes()

    def broken(tensors, file, metadata):
        Path(file).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("safetensors.numpy.save_file", broken)
    with pytest.raises(OSError, match="no space left"):
        fitted.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["umap"]


def rewritten(path, change):
    """Change the metadata of a file, as somebody might who means no good; files from before checksums had none."""
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    del metadata["checksum"]
    changed = {name: json.loads(metadata[name]) for name in ("parameters", "fitted")}
    change(changed)
    save_file(load_file(path), path, metadata | {name: json.dumps(value) for name, value in changed.items()})


@pytest.mark.parametrize("model", MODELS)
def test_no_flipped_bit_goes_unnoticed(model, tmp_path):
    path = tmp_path / "umap"
    ParametricUMAP.load(DATA / f"{model}-1.safetensors").save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    in_header = int.from_bytes(whole[:8], "little") + 8
    places = [*range(8), *rng.integers(in_header, size=40), *rng.integers(in_header, len(whole), size=20)]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            loaded = ParametricUMAP.load(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:  # as a bit of the padding, or of the name of the checksum
            assert_same(loaded, ParametricUMAP.load(DATA / f"{model}-1.safetensors"), rows_of(model)[:20])
    assert refused >= len(places) - 5
    for length in [0, 4, 8, in_header - 1, in_header, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            ParametricUMAP.load(path)


NONSENSE = {
    "no embedding": lambda made: made["fitted"].pop("embedding_"),
    "a method": lambda made: made["fitted"].update(transform={"kind": "plain", "value": 1}),
    "a parameter": lambda made: made["parameters"].update(n_neighbours=3),
    "a wide network": lambda made: made["fitted"]["encoder_"].update(hidden_layer_sizes=[200_000, 200_000]),
    "a first layer": lambda made: made["fitted"]["encoder_"].update(hidden_layer_sizes=[10**9]),
    "no widths": lambda made: made["fitted"]["encoder_"].update(hidden_layer_sizes=["wide"]),
    "an activation": lambda made: made["fitted"]["encoder_"].update(activation="eval"),
    "a large graph": lambda made: made["fitted"]["graph_"].update(shape=[200_000, 200_000]),
    "a narrow graph": lambda made: made["fitted"]["graph_"].update(shape=[200, 3]),
    "a number for an attribute": lambda made: made["fitted"].update(embedding_=3),
    "no array of that name": lambda made: made["fitted"]["embedding_"].update(name="nowhere"),
    "lists for dicts": lambda made: made.update(parameters=[1, 2]),
    "a number for all": lambda made: made.update(fitted=3),
}


@pytest.mark.parametrize("change", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_in_a_file_is_an_error_that_names_it(fitted, tmp_path, change):
    path = tmp_path / "umap"
    fitted.save(path)
    rewritten(path, lambda made: None)
    assert_same(ParametricUMAP.load(path), fitted)
    fitted.save(path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        ParametricUMAP.load(path)


def test_brackets_without_end_are_an_error(fitted, tmp_path):
    path = tmp_path / "umap"
    fitted.save(path)
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    del metadata["checksum"]
    save_file(load_file(path), path, metadata | {"fitted": 100_000 * "["})
    with pytest.raises(ValueError, match=re.escape(str(path))):
        ParametricUMAP.load(path)


KILLED = """
import os, signal, sys
from parametric_umap.atomic import replacing

with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    temporary.with_name(".tmp of the writer").touch()  # as safetensors has some
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_save_has_left_is_removed(fitted, tmp_path):
    path = tmp_path / "umap"
    with killed_in_time(script(KILLED, path)) as process:
        process.wait()
    assert len(os.listdir(tmp_path)) == 1 and not path.exists()
    (tmp_path / ".umap").touch()
    with replacing(path) as another:  # is being written, and so stays
        fitted.save(path)
        assert sorted(os.listdir(tmp_path)) == sorted([".umap", "umap", another.parent.name])
        another.write_bytes(path.read_bytes())
    assert sorted(os.listdir(tmp_path)) == [".umap", "umap"]


def test_only_a_fitted_model_is_saved(tmp_path):
    for write in (ParametricUMAP().save, ParametricUMAP().to_onnx):
        with pytest.raises(NotFittedError):
            write(tmp_path / "umap")


def test_a_folder_that_is_not_there_is_named(fitted, tmp_path):
    path = tmp_path / "nowhere" / "umap.safetensors"
    for write in (fitted.save, fitted.to_onnx):
        with pytest.raises(FileNotFoundError, match=rf"{path} cannot be written: there is no folder {path.parent}\.$"):
            write(path)
    assert not os.listdir(tmp_path)


def test_what_is_at_the_place_of_a_file_stays_what_it_is(fitted, tmp_path):
    kept, link, queue = (tmp_path / name for name in ("kept", "link", "queue"))
    kept.touch()
    kept.chmod(0o600)
    link.symlink_to(kept)
    fitted.save(link)
    assert link.is_symlink() and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert_same(ParametricUMAP.load(kept), fitted)
    os.mkfifo(queue)
    for path in (queue, tmp_path):
        with pytest.raises(ValueError, match=f"{path} cannot be written: it is a folder or a device"):
            fitted.save(path)
    assert queue.is_fifo() and sorted(os.listdir(tmp_path)) == ["kept", "link", "queue"]


def test_the_mask_of_the_user_holds_for_files(fitted, tmp_path):
    fitted.save(tmp_path / "umap")
    (tmp_path / "plain").touch()
    assert (tmp_path / "umap").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert persistence.FORMAT_VERSION == 1


# ---- ONNX ----


@pytest.mark.parametrize("encoder", [None, "linear", Narrow])
@pytest.mark.parametrize("width", [1, 3])
def test_onnxruntime_draws_the_same_map(encoder, width, tmp_path, capfd):
    rows = np.hstack([X] * width)  # wide rows are turned to their principal axes
    umap = ParametricUMAP(encoder=encoder, **QUICK).fit(rows[:1000])
    umap.to_onnx(tmp_path / "umap.onnx")
    assert capfd.readouterr() == ("", "")  # though torch's exporter has much to say
    session = onnxruntime.InferenceSession(tmp_path / "umap.onnx")
    for n_rows in (1, 2, 797):
        given = rows[1000 : 1000 + n_rows]
        (mapped,) = session.run(["embedding"], {"X": given.astype(np.float32)})
        np.testing.assert_allclose(mapped, umap.transform(given), atol=1e-4)
    assert sorted(os.listdir(tmp_path)) == ["umap.onnx"]


@pytest.mark.parametrize(("decoder", "loss"), [(True, "mse"), (True, "bce"), (Narrow, "mse")])
def test_onnxruntime_gives_the_same_rows_back(decoder, loss, tmp_path):
    rows = X / 16
    umap = ParametricUMAP(decoder=decoder, reconstruction_loss=loss, **QUICK)
    umap.fit(rows[:1000]).to_onnx(tmp_path / "back.onnx", decoder=True)
    session = onnxruntime.InferenceSession(tmp_path / "back.onnx")
    for n_rows in (1, 797):
        points = umap.transform(rows[1000 : 1000 + n_rows])
        (given_back,) = session.run(["X"], {"embedding": points})
        np.testing.assert_allclose(given_back, umap.inverse_transform(points), atol=1e-4)


def test_a_decoder_is_written_only_where_there_is_one(fitted, tmp_path):
    with pytest.raises(ValueError, match="this map has no decoder; fit with decoder=True"):
        fitted.to_onnx(tmp_path / "back.onnx", decoder=True)
    assert not os.listdir(tmp_path)
