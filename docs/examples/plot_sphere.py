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
few = {"n_epochs": 10, "random_state": 0}  # a shorter fit than by default

theta, phi = ParametricUMAP(output_metric="haversine", **few).fit_transform(X).T
points = np.c_[np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
axis = np.linalg.eigh(points.T @ points)[1][:, -1]  # near whose two ends most points lie

pole, around = np.mgrid[0 : np.pi : 13j, 0 : 2 * np.pi : 25j]
sphere = np.sin(pole) * np.cos(around), np.sin(pole) * np.sin(around), np.cos(pole)

fig = plt.figure(figsize=(9, 4.9), layout="constrained")
for i, side in enumerate((axis, -axis)):
    ax = fig.add_subplot(1, 2, i + 1, projection="3d", title=("the sphere from one side", "and from the other")[i])
    ax.view_init(np.degrees(np.arcsin(side[2])), np.degrees(np.arctan2(side[1], side[0])))
    towards = points @ side > 0  # not those behind
    ax.plot_wireframe(*sphere, color="0.85", linewidth=0.5)
    drawn = ax.scatter(*points[towards].T, c=y[towards], cmap="tab10", vmin=0, vmax=9, s=6, depthshade=False)
    ax.set_box_aspect((1, 1, 1), zoom=1.5)
    ax.set_axis_off()
handles = [plt.Line2D([], [], ls="", marker="o", color=drawn.to_rgba(digit)) for digit in range(10)]
fig.legend(handles, range(10), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()

# %%
# The whole hyperbolic plane in a disc, in which what is further out is drawn smaller.

x = ParametricUMAP(output_metric="hyperboloid", **few).fit_transform(X)
disc = x / (1 + np.sqrt(1 + (x**2).sum(axis=1, keepdims=True)))

fig, ax = plt.subplots(figsize=(5, 5.6), layout="constrained")
ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.5"))
drawn = ax.scatter(*disc.T, c=y, cmap="tab10", s=5)
ax.set(title="the hyperbolic plane as a disc", xlim=(-1.03, 1.03), ylim=(-1.03, 1.03), aspect="equal")
ax.set_axis_off()
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=5, frameon=False, handletextpad=0)
plt.show()
