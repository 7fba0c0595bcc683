"""Our estimator, default parameters."""

from worker import work

from parametric_umap import ParametricUMAP


def fit(X):
    model = ParametricUMAP(random_state=0).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
