"""umap-learn's UMAP, which is not parametric, default parameters."""

from umap import UMAP
from worker import work


def fit(X, seed):
    model = UMAP(random_state=seed).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
