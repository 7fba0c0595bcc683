"""
The stages of a fit, one by one
===============================

What `fit` does, by the functions that it is made of. Each can be called alone.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from sklearn.datasets import load_digits

from parametric_umap.encoder import new_encoder, parts
from parametric_umap.engine import MainEmbedding, NeighborhoodSampler, SpectralInit, as_rows, embed, train
from parametric_umap.graph import fuzzy_simplicial_set, membership_strengths, smooth_knn_dist
from parametric_umap.initialization import initial_positions
from parametric_umap.losses import EdgeCrossEntropy, find_ab_params
from parametric_umap.neighbors import nearest_neighbors

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)

# %%
# Neighbours
# ----------
# Each row's 15 nearest rows. The first is the row itself.

indices, distances = nearest_neighbors(X, 15)

fig, axes = plt.subplots(3, 15, figsize=(9, 2.7), layout="constrained")
fig.suptitle("three digits, their nearest others, and the distances")
for row, panels in zip((0, 8, 26), axes, strict=True):
    for panel, neighbor, distance in zip(panels, indices[row], distances[row], strict=True):
        panel.imshow(X[neighbor].reshape(8, 8), cmap="gray_r")
        panel.set_title(f"{distance:.0f}", fontsize=8)
        panel.set_axis_off()
plt.show()

# %%
# Graph
# -----
# Each row holds its neighbours as strongly as an exponential kernel says. It begins at the distance to the nearest one,
# and is so wide that the memberships of every row sum to log2(15): a row in a sparse region has its neighbours as well.

sigmas, rhos = smooth_knn_dist(distances)
memberships = membership_strengths(indices, distances, sigmas, rhos)
dense, sparse = np.argsort(distances[:, -1])[[50, -50]]

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for row, name in ((dense, "in a dense region"), (sparse, "in a sparse one")):
    ax.plot(distances[row, 1:], memberships[row, 1:], "o-", ms=4, label=f"a row {name}")
ax.set(title="a row's neighbours", xlabel="distance to the neighbour", ylabel="membership", xlim=(0, None))
ax.legend(frameon=False)
plt.show()

# %%
# The two memberships of each pair are joined: one edge between them.

graph = fuzzy_simplicial_set(indices, distances)
print(f"{graph.shape[0]} rows, {graph.nnz // 2} edges")

# %%
# Initial positions
# -----------------
# The first eigenvectors of the graph's Laplacian. Every line is an edge.

positions = initial_positions("spectral", X, graph, 2, scale=3.3, random_state=np.random.RandomState(0))
edges = np.stack(graph.tocoo().coords, axis=1)


def draw(ax, Z, title, edges=None):
    if edges is not None:
        ax.add_collection(LineCollection(Z[edges], colors="0.6", linewidths=0.2, alpha=0.3))
    drawn = ax.scatter(*Z.T, c=y, cmap="tab10", s=4, zorder=2)
    ax.set(title=title, xticks=[], yticks=[])
    return drawn


fig, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
drawn = draw(ax, positions, "spectral embedding of the graph", edges)
ax.legend(*drawn.legend_elements(num=None), loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
plt.show()

# %%
# Phase ``spectral_init``
# -----------------------
# The encoder learns these positions, by their mean squared error. A network is smooth: it cannot follow every point.
# Most of the layout is still to come: only a few digits lie apart by now.

generator = torch.Generator().manual_seed(0)
widths = (96,) * 6
encoder = new_encoder("mlp", X, 2, hidden_layer_sizes=widths, activation="silu", pca_variance=0.95, generator=generator)
prepare, network = parts(encoder)
rows = as_rows(X, prepare, torch.device("cpu"))


def embedding():
    network.eval()
    Z = embed(prepare, network, X, torch.device("cpu"))
    network.train()
    return Z


phase = SpectralInit(torch.from_numpy(positions), n_epochs=13, batch_size=500, learning_rate=0.01)
spectral_loss = train(network, rows, phase, generator, on_epoch=lambda phase, epoch, loss: None)

fig, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
draw(axes[0], positions, "what is to be learned")
draw(axes[1], embedding(), "where the encoder puts the rows")
plt.show()

# %%
# Phase ``main_embedding``
# ------------------------
# The encoder learns the graph: joined rows attract each other, all others repel. How near two points are is what the
# curve 1 / (1 + a d²ᵇ) says of their distance d.

a, b = find_ab_params(1.0, 0.1)
maps = {}


def keep(phase, epoch, loss):
    if epoch in (1, 3, 10, 30):
        maps[epoch] = embedding()


phase = MainEmbedding(
    NeighborhoodSampler(graph, torch.device("cpu")),
    EdgeCrossEntropy(a, b, negative_sample_rate=5, repulsion_strength=1.0),
    n_epochs=30,
    batches_per_epoch=15,
    batch_size=1024,
    learning_rate=0.01,
)
main_loss = train(network, rows, phase, generator, on_epoch=keep)

# sphinx_gallery_thumbnail_number = 5
fig, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
for ax, (epoch, Z) in zip(axes.flat, maps.items(), strict=True):
    draw(ax, Z, f"after {epoch} of 30 epochs", edges)
plt.show()

# %%
# Losses
# ------
# `loss_curve_` holds them after a fit.

fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, losses, name in ((axes[0], spectral_loss, "spectral_init"), (axes[1], main_loss, "main_embedding")):
    ax.plot(np.arange(1, len(losses) + 1), losses, "o-", ms=3)
    ax.set(title=name, xlabel="epoch", ylabel="mean loss of its batches")
plt.show()
