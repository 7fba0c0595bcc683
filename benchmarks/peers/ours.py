"""Our estimator, default parameters."""

from worker import work

from parametric_umap import ParametricUMAP


def fit(X, seed):
    model = ParametricUMAP(random_state=seed).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
