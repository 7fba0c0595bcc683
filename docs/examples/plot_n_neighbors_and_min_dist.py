"""
n_neighbors and min_dist
========================

The two parameters to try first. `n_neighbors` is how far a row looks. Digits are groups so clear that they are the same
with 5 neighbours as with 60, and only lie in other places. `min_dist` is how close points may come: it changes how the
groups look, and not which rows are in them. The fits are shorter than by default, so that nine of them are soon done.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)

fig, axes = plt.subplots(3, 3, figsize=(9, 9.3), layout="constrained")
for panels, n_neighbors in zip(axes, (5, 15, 60), strict=True):
    for ax, min_dist in zip(panels, (0.0, 0.1, 0.8), strict=True):
        umap = ParametricUMAP(n_neighbors, min_dist=min_dist, n_epochs=10, random_state=0)
        drawn = ax.scatter(*umap.fit_transform(X).T, c=y, cmap="tab10", s=3)
        ax.set(title=f"n_neighbors={n_neighbors}, min_dist={min_dist}", xticks=[], yticks=[])
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
