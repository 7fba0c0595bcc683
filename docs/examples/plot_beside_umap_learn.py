"""
Beside umap-learn
=================

The same digits by umap-learn's UMAP, which has no network, and by ours. Left, the rows that were fitted; right, rows
that were not. umap-learn looks for their places among the fitted ones; a network maps them as it does any.
This example needs umap-learn beside what the others need.
"""

import matplotlib.pyplot as plt
import umap
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

fig, axes = plt.subplots(2, 2, figsize=(9, 9.3), layout="constrained")
estimators = {"umap.UMAP": umap.UMAP(random_state=0, n_jobs=1), "ParametricUMAP": ParametricUMAP(random_state=0)}
for panels, (name, estimator) in zip(axes, estimators.items(), strict=True):
    Z = estimator.fit_transform(X)
    Z_new = estimator.transform(X_new)
    accuracy = knn_accuracy(Z, y, Z_new, y_new)
    for ax, points, digits, title in (
        (panels[0], Z, y, f"{name}: fitted"),
        (panels[1], Z_new, y_new, f"new, k-NN accuracy {accuracy:.3f}"),
    ):
        drawn = ax.scatter(*points.T, c=digits, cmap="tab10", s=6)
        ax.set(title=title, xticks=[], yticks=[])
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
