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
centre = np.degrees(np.arctan2(*points.mean(axis=0)[[1, 0]]))

pole, around = np.mgrid[0 : np.pi : 13j, 0 : 2 * np.pi : 25j]
sphere = np.sin(pole) * np.cos(around), np.sin(pole) * np.sin(around), np.cos(pole)

fig = plt.figure(figsize=(9, 4.5), layout="constrained")
for i, azimuth in enumerate((centre - 35, centre + 35)):
    ax = fig.add_subplot(1, 2, i + 1, projection="3d")
    ax.view_init(0, azimuth)
    towards = points @ [np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth)), 0] > 0  # not those behind
    ax.plot_wireframe(*sphere, color="0.85", linewidth=0.5)
    ax.scatter(*points[towards].T, c=y[towards], cmap="tab10", vmin=0, vmax=9, s=6, depthshade=False)
    ax.set_box_aspect((1, 1, 1), zoom=1.4)
    ax.set_axis_off()
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
