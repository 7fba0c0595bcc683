"""
Labels and numbers as targets
=============================

`y` is read only if `target_metric` says how. Here it is ignored, then known for one digit in ten, then for all that are
fitted; what is drawn are digits that were not. Supervision draws the classes together, and shows less of what is within
them. The fits are shorter than by default.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
few = np.where(np.random.RandomState(0).uniform(size=len(y)) < 0.1, y, -1)  # -1 is an unknown label

fig, axes = plt.subplots(1, 3, figsize=(9, 4), layout="constrained")
for ax, target_metric, labels, name in zip(
    axes, (None, "categorical", "categorical"), (y, few, y), ("no labels", "a tenth of the labels", "all"), strict=True
):
    umap = ParametricUMAP(target_metric=target_metric, n_epochs=15, random_state=0).fit(X, labels)
    Z_new = umap.transform(X_new)
    accuracy = knn_accuracy(umap.embedding_, y, Z_new, y_new)
    drawn = ax.scatter(*Z_new.T, c=y_new, cmap="tab10", s=5)
    ax.set(title=f"{name}\nk-NN accuracy {accuracy:.3f}", xticks=[], yticks=[])
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()

# %%
# Numbers take a metric of their own. `target_weight=0.7`, rather than 0.5, makes them count more than the rows. The
# colour is the progression of a disease after a year.

X, y = load_diabetes(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, random_state=0)

fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, target_metric in zip(axes, (None, "euclidean"), strict=True):
    umap = ParametricUMAP(target_metric=target_metric, target_weight=0.7, random_state=0).fit(X, y)
    ax.scatter(*umap.embedding_.T, c=y, s=8, alpha=0.5)
    drawn = ax.scatter(*umap.transform(X_new).T, c=y_new, s=25, edgecolors="k", linewidths=0.5)
    ax.set(title=f"target_metric={target_metric!r}", xticks=[], yticks=[])
fig.colorbar(drawn, ax=axes, label="progression; new rows are framed")
plt.show()
