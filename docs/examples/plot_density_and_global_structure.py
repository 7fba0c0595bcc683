"""
Density and global structure
============================

UMAP keeps neighbourhoods. How dense groups are, and how far they lie apart, it does not keep unless it is asked to.
The fits are shorter than by default.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import pearsonr

from parametric_umap import ParametricUMAP

# %%
# Four groups in ten dimensions, each twice as wide as the last, on a line; the last is far away.

rng = np.random.RandomState(0)
centres = np.array([0, 20, 40, 160])
y = np.repeat(np.arange(4), 250)
X = rng.normal(size=(1000, 10)) * 2.0 ** (y[:, None] - 2)
X[:, 0] += centres[y]

asked = {
    "plain": {"output_dens": True},
    "densmap=True": {"densmap": True},
    "global_correlation_weight=1": {"global_correlation_weight": 1.0, "output_dens": True},
}

fig, axes = plt.subplots(1, 3, figsize=(9, 3.8), layout="constrained")
for ax, (name, parameters) in zip(axes, asked.items(), strict=True):
    umap = ParametricUMAP(**parameters, n_epochs=10, random_state=0).fit(X)
    Z = umap.embedding_
    density = pearsonr(umap.rad_orig_, umap.rad_emb_).statistic
    pairs = rng.randint(len(X), size=(2, 10_000))
    distance = pearsonr(*(np.linalg.norm(rows[pairs[0]] - rows[pairs[1]], axis=1) for rows in (X, Z))).statistic
    ax.scatter(*Z.T, c=y, cmap="viridis", s=4)
    ax.set_title(f"{name}\nlocal radii {density:.2f}, distances {distance:.2f}", fontsize=10)
    ax.set(xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
fig.suptitle("correlation between data and map", fontsize=10)
plt.show()
