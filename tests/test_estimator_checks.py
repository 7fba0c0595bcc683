from sklearn.utils.estimator_checks import parametrize_with_checks

from parametric_umap import ParametricUMAP

ESTIMATORS = [
    ParametricUMAP(
        n_neighbors=5, hidden_layer_sizes=(16,), init_epochs=2, n_epochs=2, batches_per_epoch=5, batch_size=64
    ),
    ParametricUMAP(
        n_neighbors=5,
        n_components=1,
        init="pca",
        init_epochs=1,
        metric="cosine",
        n_epochs=1,
        batches_per_epoch=2,
        device="cpu",
    ),
]


@parametrize_with_checks(ESTIMATORS)
def test_passes_scikit_learns_checks(estimator, check):
    check(estimator)
