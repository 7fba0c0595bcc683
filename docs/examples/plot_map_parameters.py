"""
What else shapes the map
========================

One parameter of the graph or of the loss at a time, its default among the values. The fits are shorter than by default.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)

fitted = {
    "spread": (0.5, 1.0, 3.0),
    "repulsion_strength": (0.1, 1.0, 10.0),
    "negative_sample_rate": (1, 5, 20),
    "set_op_mix_ratio": (0.0, 0.5, 1.0),
    "metric": ("cosine", "euclidean", "manhattan"),
}

# %%
# `spread` is the scale: look at the axes. With little `repulsion_strength` or `negative_sample_rate` groups are small
# and dense; the more of it, the more all points spread, at 10 and at 20 until groups run into each other. With
# `set_op_mix_ratio` at 0 only mutual neighbours are joined, and more rows are alone.

fig, axes = plt.subplots(5, 3, figsize=(9, 14.8), layout="constrained")
for panels, (name, values) in zip(axes, fitted.items(), strict=True):
    for ax, value in zip(panels, values, strict=True):
        umap = ParametricUMAP(**{name: value}, n_epochs=6, random_state=0)
        drawn = ax.scatter(*umap.fit_transform(X).T, c=y, cmap="tab10", s=3)
        ax.set_title(f"{name}={value!r}", fontsize=10)
        ax.tick_params(labelsize=8)
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
