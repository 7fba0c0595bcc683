"""
A place for anything, and how new a row is
==========================================

A network maps any row somewhere, a digit or not. `novelty_score` tells them apart: it is the distance to the nearest of
a sample of the fitted rows, in units of the distance that is usual among them.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)
umap = ParametricUMAP(random_state=0).fit(X)

rng = np.random.RandomState(0)
other = {
    "new digits": X_new,
    "upside down": X_new.reshape(-1, 8, 8)[:, ::-1].reshape(-1, 64),
    "inverted": 16 - X_new,
    "noise": rng.uniform(0, 16, size=X_new.shape),
}

# %%
# On the map, digits that are upside down lie among the digits, and noise does too.

fig, axes = plt.subplots(2, 2, figsize=(9, 8.4), sharex=True, sharey=True, layout="constrained")
for ax, (name, rows) in zip(axes.flat, other.items(), strict=True):
    ax.scatter(*umap.embedding_.T, c="0.85", s=6)
    drawn = ax.scatter(*umap.transform(rows).T, c=umap.novelty_score(rows), vmin=0.5, vmax=3, s=8)
    ax.set(title=name, xticks=[], yticks=[])
fig.colorbar(drawn, ax=axes, label="novelty score", shrink=0.5, extend="max")
plt.show()

# %%
# The scores of new digits are about 1; noise and inverted digits have far higher ones. Upside down a 0, a 1 or an 8 is
# still a digit, and most others are not.

fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for name, rows in other.items():
    ax.hist(umap.novelty_score(rows), bins=np.linspace(0, 8, 80), histtype="step", lw=1.5, label=name)
ax.set(title="the scores of all", xlabel="novelty score", ylabel="rows")
ax.legend(frameon=False)
plt.show()
