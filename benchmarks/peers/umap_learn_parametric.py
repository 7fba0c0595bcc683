"""umap-learn's ParametricUMAP, which trains a Keras network, default parameters."""

from umap.parametric_umap import ParametricUMAP
from worker import work


def fit(X, seed):
    model = ParametricUMAP(random_state=seed).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
