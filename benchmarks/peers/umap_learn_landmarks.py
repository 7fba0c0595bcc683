"""umap-learn's ParametricUMAP, to which rows are added as its tutorial does: with the rows before as landmarks.

Its map of the fitted rows holds their positions before and after, side by side.
"""

import numpy as np
from data import ADDED, load
from umap.parametric_umap import ParametricUMAP
from worker import work


def fit(X, seed):
    _, _, added, _ = load("digits but 9")
    model = ParametricUMAP(random_state=seed).fit(X)
    before = model.embedding_.copy()
    model.add_landmarks(X, sample_pct=1.0, landmark_loss_weight=0.01)
    model.fit(added[:ADDED])
    return np.hstack([before, model.transform(X)]), model.transform


if __name__ == "__main__":
    work(fit)
