"""
Maps that are not flat
======================

On a sphere no group lies at the edge; the hyperbolic plane has room for trees.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
few = {"batches_per_epoch": 5, "random_state": 0}  # a shorter fit than by default

theta, phi = ParametricUMAP(output_metric="haversine", **few).fit_transform(X).T
points = np.c_[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]

fig = plt.figure(figsize=(9, 4.5), layout="constrained")
for i, (elevation, azimuth) in enumerate(((20, 0), (20, 180))):
    ax = fig.add_subplot(1, 2, i + 1, projection="3d")
    ax.view_init(elevation, azimuth)
    towards = points @ [np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), 0] > 0  # not those behind
    ax.scatter(*points[towards].T, c=y[towards], cmap="tab10", vmin=0, vmax=9, s=6)
    ax.set(title="from " + ("the front", "the back")[i], xticks=[], yticks=[], zticks=[])
    ax.set_box_aspect((1, 1, 1))
plt.show()

# %%
# The whole hyperbolic plane in a disc, in which what is further out is drawn smaller.

x = ParametricUMAP(output_metric="hyperboloid", **few).fit_transform(X)
disc = x / (1 + np.sqrt(1 + (x**2).sum(axis=1, keepdims=True)))

fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.5"))
ax.scatter(*disc.T, c=y, cmap="tab10", s=5)
ax.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
ax.set_axis_off()
plt.show()
