"""
The same rows, four seeds
=========================

What a map shows in every fit can be believed; what changes with the seed is chance. The fits are shorter than by
default.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)

fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained")
for seed, ax in enumerate(axes):
    umap = ParametricUMAP(batches_per_epoch=5, random_state=seed).fit(X)
    ax.scatter(*umap.embedding_.T, c=y, cmap="tab10", s=2)
    ax.set(title=f"random_state={seed}\ntrustworthiness {umap.score(X):.3f}", xticks=[], yticks=[])
    ax.title.set_fontsize(9)
plt.show()
