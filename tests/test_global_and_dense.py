"""What lies far apart, how dense points lie, and maps that are not flat."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_swiss_roll
from sklearn.metrics import pairwise_distances
from umap.distances import haversine as haversine_of_umap_learn
from umap.distances import hyperboloid_grad

from parametric_umap import ParametricUMAP
from parametric_umap.engine.phases import EncodedBatch
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.metrics import knn_accuracy, random_triplet_accuracy
from parametric_umap.neighbors import nearest_neighbors
from parametric_umap.output_metrics import OUTPUT_METRICS, RADIUS
from parametric_umap.terms.correlation import GlobalCorrelation
from parametric_umap.terms.density import embedded_log_radii, log_radii

digits, y = load_digits(return_X_y=True)
QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}


def test_global_structure_is_kept_where_it_is_asked_for():
    plain, kept = (
        ParametricUMAP(global_correlation_weight=weight, random_state=0).fit(digits[:1200]) for weight in (0, 3)
    )
    before, after = (
        random_triplet_accuracy(digits[1200:], umap.transform(digits[1200:]), random_state=0) for umap in (plain, kept)
    )
    assert after > before + 0.05
    assert kept.score(digits[1200:]) > plain.score(digits[1200:]) - 0.03


def test_the_correlation_is_that_of_numpy():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(100, 5)), rng.normal(size=(100, 2))
    batch = EncodedBatch(None, torch.from_numpy(x), torch.from_numpy(z), None, None, None, None)
    upper = np.triu_indices(100, 1)
    expected = np.corrcoef(pairwise_distances(x)[upper], pairwise_distances(z)[upper])[0, 1]
    assert GlobalCorrelation(2.0)(batch).item() == pytest.approx(-2 * expected, abs=1e-4)


# ---- Density ----


@pytest.fixture(scope="module")
def dense(mnist):
    """Rows to be fitted, others, and umap-learn's map of the first with its radii.

    The map, ``UMAP(densmap=True, output_dens=True, random_state=0)``, takes it a minute, and was kept.
    """
    rows, _, unseen, _ = mnist
    theirs = np.load(Path(__file__).parent / "data" / "densmap-of-umap-learn-0.5.12.npz")
    return rows[:3000], unseen[:3000], theirs


def test_radii_are_those_of_umap_learn(dense):
    rows, _, theirs = dense
    neighbors = nearest_neighbors(rows, 15)
    ours = log_radii(fuzzy_simplicial_set(*neighbors), *neighbors)
    np.testing.assert_allclose(ours, theirs["rad_orig"], atol=1e-3)
    ours = embedded_log_radii(theirs["embedding"], 15)  # of squares, which theirs are not here
    assert np.corrcoef(ours, theirs["rad_emb"])[0, 1] > 0.99


def test_densities_are_kept_on_unseen_rows_as_by_umap_learn_on_fitted_ones(dense):
    rows, unseen, theirs = dense
    of_umap_learn = np.corrcoef(theirs["rad_orig"], theirs["rad_emb"])[0, 1]
    umap = ParametricUMAP(densmap=True, random_state=0).fit(rows)
    plain = ParametricUMAP(output_dens=True, random_state=0).fit(rows)
    assert umap.rad_emb_.shape == umap.rad_orig_.shape == (len(rows),)
    assert not hasattr(ParametricUMAP(**QUICK).fit(rows), "rad_emb_")

    def kept(model):
        of_points = embedded_log_radii(model.transform(unseen), 15)
        return np.corrcoef(embedded_log_radii(unseen, 15), of_points)[0, 1]

    for of_ours, of_plain in (
        (np.corrcoef(umap.rad_orig_, umap.rad_emb_)[0, 1], np.corrcoef(plain.rad_orig_, plain.rad_emb_)[0, 1]),
        (kept(umap), kept(plain)),
    ):
        assert of_ours > of_umap_learn - 0.05
        assert of_ours > of_plain + 0.1


# ---- Maps that are not flat ----


def test_a_sphere_is_measured_as_by_umap_learn():
    rng = np.random.default_rng(0)
    u, v = (
        np.c_[rng.uniform(0, np.pi, 50), rng.uniform(-9, 9, 50)],
        np.c_[rng.uniform(0, np.pi, 50), rng.normal(size=50)],
    )
    ours = OUTPUT_METRICS["haversine"](torch.from_numpy(u), torch.from_numpy(v)).sqrt().numpy() / RADIUS
    latitude = np.array([np.pi / 2, 0]), np.array([1, 1])
    theirs = [
        haversine_of_umap_learn(latitude[0] - [1, -1] * a, latitude[0] - [1, -1] * b) for a, b in zip(u, v, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_hyperbolic_plane_is_measured_as_by_umap_learn():
    rng = np.random.default_rng(0)
    u, v = 3 * rng.normal(size=(2, 50, 2))
    ours = OUTPUT_METRICS["hyperboloid"](torch.from_numpy(u), torch.from_numpy(v)).sqrt().numpy()
    np.testing.assert_allclose(ours, [hyperboloid_grad(a, b)[0] for a, b in zip(u, v, strict=True)], rtol=1e-6)


@pytest.mark.parametrize("name", OUTPUT_METRICS)
def test_forces_on_a_map_that_is_not_flat_are_finite_and_those_of_finite_differences(name):
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.uniform(0.5, 2, size=(12, 2)))
    z[1] = z[0]
    weights = torch.from_numpy(rng.uniform(size=(3, 4, 4)))
    weights = weights + weights.transpose(1, 2)
    loss = EdgeCrossEntropy(1.5, 0.9, 5, 1.0, squares=OUTPUT_METRICS[name])
    _, gradient = loss.value_and_gradient(z, weights)
    assert gradient.isfinite().all()
    for i, j in ((2, 0), (5, 1), (11, 0)):
        step = torch.zeros_like(z)
        step[i, j] = 1e-5
        difference = (loss.value(z + step, weights) - loss.value(z - step, weights)) / 2e-5
        assert gradient[i, j].item() == pytest.approx(difference.item(), rel=1e-4)


@pytest.mark.parametrize("output_metric", OUTPUT_METRICS)
def test_digits_are_told_apart_on_a_map_that_is_not_flat(output_metric):
    umap = ParametricUMAP(output_metric=output_metric, random_state=0).fit(digits[:1200])

    def in_space(Z):
        if output_metric == "hyperboloid":
            return Z / (1 + np.sqrt(1 + np.square(Z).sum(axis=1, keepdims=True)))  # the disk of Poincaré
        theta, phi = Z.T
        return np.c_[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]

    assert knn_accuracy(in_space(umap.embedding_), y[:1200], in_space(umap.transform(digits[1200:])), y[1200:]) > 0.85


@pytest.mark.parametrize("n_components", [1, 3, 10, 50])
def test_maps_of_other_dimensions_tell_digits_apart(n_components):
    umap = ParametricUMAP(n_components=n_components, n_epochs=10, batches_per_epoch=20, random_state=0)
    umap.fit(digits[:1200])
    assert umap.embedding_.shape == (1200, n_components)
    least = 0.7 if n_components == 1 else 0.9
    assert knn_accuracy(umap.embedding_, y[:1200], umap.transform(digits[1200:]), y[1200:]) > least


def test_a_sphere_has_two_coordinates():
    with pytest.raises(ValueError, match="output_metric='haversine' needs n_components=2; got 3"):
        ParametricUMAP(output_metric="haversine", n_components=3).fit(digits)


@pytest.mark.parametrize("other", [{"dens_lambda": 8.0}, {"dens_frac": 1.0}, {"dens_var_shift": 10.0}])
def test_every_parameter_of_densmap_counts(other):
    maps = [ParametricUMAP(densmap=True, **QUICK, **more).fit_transform(digits[:200]) for more in ({}, other)]
    assert not np.array_equal(*maps)


@pytest.mark.parametrize("asked", ["densmap", "output_dens"])
def test_densities_are_those_of_a_flat_map(asked):
    with pytest.raises(ValueError, match="densmap and output_dens need output_metric='euclidean'; got 'haversine'"):
        ParametricUMAP(output_metric="haversine", **{asked: True}).fit(digits)


def test_a_roll_is_still_a_surface():
    rows, along = make_swiss_roll(2000, random_state=0)
    umap = ParametricUMAP(global_correlation_weight=0.1, random_state=0).fit(rows)
    near = pairwise_distances(umap.embedding_).argsort(axis=1)[:, 1:6]
    assert np.abs(along[near] - along[:, None]).mean() < 0.6
