import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV

from parametric_umap import ParametricUMAP, metrics

QUICK = {"n_epochs": 2, "batches_per_epoch": 10, "random_state": 0}
digits = load_digits().data


def auc(umap, usual, strange):
    scores = np.concatenate([umap.novelty_score(usual), umap.novelty_score(strange)])
    assert np.isfinite(scores).all()
    return roc_auc_score(np.arange(len(scores)) >= len(usual), scores)


def test_mnist_is_told_from_noise_and_from_its_negative(mnist):
    X, _, X_test, _ = mnist
    umap = ParametricUMAP(**QUICK).fit(X[:5000])
    noise = np.random.default_rng(0).uniform(size=(2000, 784)).astype(np.float32)
    shuffled = np.random.default_rng(0).permuted(X_test[:2000], axis=1)
    for strange in (noise, 1 - X_test[:2000], shuffled):
        assert auc(umap, X_test[2000:4000], strange) > 0.95
    assert 0.5 < np.median(umap.novelty_score(X_test)) < 2


@pytest.mark.parametrize("encoder", [None, "linear", torch.nn.Linear(64, 2)])
def test_digits_are_told_from_noise_by_any_encoder(encoder):
    umap = ParametricUMAP(encoder=encoder, **QUICK).fit(digits[:1000])
    assert auc(umap, digits[1000:], np.random.default_rng(0).uniform(0, 16, size=(500, 64))) > 0.95


def test_a_score_is_the_distance_to_the_nearest_reference_in_units_of_theirs():
    umap = ParametricUMAP(**QUICK).fit(digits[:500])
    references = umap.reference_rows_
    distances = np.linalg.norm(digits[500:700, None] - references[None], axis=2)
    between = np.linalg.norm(references[:, None] - references[None], axis=2)
    np.fill_diagonal(between, np.inf)
    expected = distances.min(axis=1) / np.median(between.min(axis=1))
    np.testing.assert_allclose(umap.novelty_score(digits[500:700]), expected, rtol=1e-2)
    np.testing.assert_allclose(umap.novelty_score(sp.csr_array(digits[500:700])), expected, rtol=1e-2)


def test_copies_are_no_measure_of_what_is_near():
    once, thrice = (ParametricUMAP(**QUICK).fit(rows) for rows in (digits[:100], np.vstack([digits[:100]] * 3)))
    np.testing.assert_allclose(thrice.novelty_score(digits[100:]), once.novelty_score(digits[100:]), rtol=1e-2)
    equal = ParametricUMAP(**QUICK).fit(np.ones((20, 64)))
    assert np.isfinite(equal.novelty_score(digits)).all()


def test_a_model_keeps_few_rows():
    X = np.random.default_rng(0).normal(size=(3000, 2100)).astype(np.float32)
    umap = ParametricUMAP(**QUICK, n_neighbors=5).fit(X)
    assert umap.reference_rows_.nbytes <= 2**21
    assert len(umap.reference_rows_) < 3000


def test_the_score_is_the_trustworthiness():
    umap = ParametricUMAP(**QUICK).fit(digits[:1000])
    expected = trustworthiness(digits[1000:], umap.transform(digits[1000:]), n_neighbors=15)
    assert umap.score(digits[1000:]) == pytest.approx(expected, abs=1e-5)  # some distances of digits are equal
    assert umap.score(sp.csr_array(digits[1000:])) == pytest.approx(expected, abs=1e-3)
    by_cosine = ParametricUMAP(metric="cosine", **QUICK).fit(digits[:1000])
    expected = trustworthiness(digits[1000:], by_cosine.transform(digits[1000:]), n_neighbors=15, metric="cosine")
    assert by_cosine.score(digits[1000:]) == pytest.approx(expected, abs=1e-6)
    assert umap.score(digits[:3]) <= 1


def test_the_score_of_many_rows_is_repeatable_and_close_to_that_of_all():
    rows = np.random.default_rng(0).normal(size=(6000, 3))
    umap = ParametricUMAP(**QUICK).fit(rows[:300])
    assert umap.score(rows) == umap.score(rows)
    expected = metrics.trustworthiness(rows, umap.transform(rows), n_neighbors=15, sample_size=None)
    assert umap.score(rows) == pytest.approx(expected, abs=2e-3)


def test_a_search_without_labels_finds_the_better_map():
    search = GridSearchCV(ParametricUMAP(**QUICK), {"hidden_layer_sizes": [(2,), (64, 64)]}, cv=2).fit(digits)
    assert search.best_params_ == {"hidden_layer_sizes": (64, 64)}
