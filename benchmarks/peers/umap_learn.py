"""umap-learn's UMAP, which is not parametric, default parameters."""

from umap import UMAP
from worker import work


def fit(X):
    model = UMAP(random_state=0).fit(X)
    return model.embedding_, model.transform


if __name__ == "__main__":
    work(fit)
