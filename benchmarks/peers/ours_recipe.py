"""Our estimator with every setting of ParaDime's "Parametric UMAP" example."""

from reference_recipe import RECIPE
from worker import work

from parametric_umap import ParametricUMAP


def fit(X, seed):
    model = ParametricUMAP(**RECIPE, random_state=seed).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
