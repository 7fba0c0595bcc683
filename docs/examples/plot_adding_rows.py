"""
Adding rows to a map
====================

A map of the digits but the nines; then the nines are added. `partial_fit` learns them together with a sample of the old
rows, which it holds where they lie.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
old, nines, y_old = X[y != 9], X[y == 9], y[y != 9]

umap = ParametricUMAP(random_state=0).fit(old)
before, nines_before = umap.embedding_, umap.transform(nines)
umap.partial_fit(nines)
after = umap.transform(old)

# %%
# The network had never seen a nine, and took them for others.

fig, axes = plt.subplots(1, 2, figsize=(9, 5.1), sharex=True, sharey=True, layout="constrained")
for ax, Z, Z_nines, title in (
    (axes[0], before, nines_before, "fitted without the nines"),
    (axes[1], after, umap.embedding_, "after the nines were added"),
):
    drawn = ax.scatter(*Z.T, c=y_old, cmap="tab10", vmin=0, vmax=9, s=5, alpha=0.5)
    ax.scatter(*Z_nines.T, c="k", marker="+", s=18, lw=0.8, label="nines")
    ax.set(title=title, xticks=[], yticks=[])
    ax.legend(loc="upper left")
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()

# %%
# How far the old points have moved, as a share of the map's extent:

print(f"{np.linalg.norm(after - before, axis=1).mean() / np.ptp(before, axis=0).max():.3f}")
