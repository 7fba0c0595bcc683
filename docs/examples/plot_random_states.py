"""
The same rows, four seeds
=========================

The same digits are together in every fit; where their groups lie changes with the seed. What only some fits show is
chance. What all of them show may come of the method, such as the sizes of groups. The fits are shorter than by default.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)

fig, axes = plt.subplots(1, 4, figsize=(9, 3.1), layout="constrained")
for seed, ax in enumerate(axes):
    umap = ParametricUMAP(n_epochs=10, random_state=seed).fit(X)
    drawn = ax.scatter(*umap.embedding_.T, c=y, cmap="tab10", s=2)
    ax.set(title=f"random_state={seed}\ntrustworthiness {umap.score(X):.3f}", xticks=[], yticks=[])
    ax.title.set_fontsize(9)
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
