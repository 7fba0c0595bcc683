"""
From the map back to rows
=========================

A decoder is trained beside the encoder, and makes a row of any point of the map.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
X, X_new, y = X[:1200], X[1200:], y[:1200]
umap = ParametricUMAP(decoder=True, random_state=0).fit(X)

# %%
# Points of a grid over the map, each drawn as the row that the decoder makes of it; blank where no fitted row is near,
# as what a decoder makes of such a place means nothing.

low, high = umap.embedding_.min(axis=0) - 0.5, umap.embedding_.max(axis=0) + 0.5
n = 20
across, up = np.meshgrid(np.linspace(low[0], high[0], n), np.linspace(high[1], low[1], n))
points = np.c_[across.ravel(), up.ravel()]
images = umap.inverse_transform(points)
distances, _ = NearestNeighbors(n_neighbors=1).fit(umap.embedding_).kneighbors(points)
images[distances[:, 0] > (high - low).max() / n] = 0
mosaic = images.reshape(n, n, 8, 8).swapaxes(1, 2).reshape(8 * n, 8 * n)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.6), layout="constrained")
axes[0].scatter(*umap.embedding_.T, c=y, cmap="tab10", s=5)
axes[0].set(title="the map", xticks=[], yticks=[], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
axes[1].imshow(mosaic, cmap="gray_r", vmin=0, vmax=16, aspect="auto")
axes[1].set(title="what lies where", xticks=[], yticks=[])
plt.show()

# %%
# Two numbers say little of a digit. With more components, and a decoder that counts, little is lost of rows that
# were not fitted either.

faithful = ParametricUMAP(
    n_components=16,
    decoder=True,
    autoencoder=True,
    reconstruction_weight=100,
    hidden_layer_sizes=(256, 256),
    random_state=0,
).fit(X)

rows = {"new rows": X_new[:12]}
for name, estimator in (("2 components", umap), ("16 components", faithful)):
    rows[name] = estimator.inverse_transform(estimator.transform(X_new[:12]))

fig, axes = plt.subplots(3, 12, figsize=(9, 3), layout="constrained")
fig.suptitle("new digits, and what comes back of them")
for panels, (name, images) in zip(axes, rows.items(), strict=True):
    panels[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for panel, image in zip(panels, images, strict=True):
        panel.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        panel.set(xticks=[], yticks=[])
plt.show()
