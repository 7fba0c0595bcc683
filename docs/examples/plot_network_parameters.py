"""
The network and its training
============================

The same data with other networks and other training, fitted on two thirds; the third that is drawn was not. Above each
is the trustworthiness of that third, for which a network may be too small, or follow the fitted rows too closely.
The fits are a third as long as by default, by `n_epochs=10`; one is a tenth as long.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from parametric_umap import ParametricUMAP

X, y = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)

changed = [
    {},
    {"encoder": "linear"},
    {"hidden_layer_sizes": (32, 32)},
    {"activation": "relu"},
    {"input_noise": 0.0},
    {"init": "random"},
    {"sampling": "edges"},
    {"n_epochs": 3},
    {"learning_rate": 0.001},
]

fig, axes = plt.subplots(3, 3, figsize=(9, 9.6), layout="constrained")
for ax, parameters in zip(axes.flat, changed, strict=True):
    umap = ParametricUMAP(**{"n_epochs": 10, "random_state": 0} | parameters).fit(X)
    drawn = ax.scatter(*umap.transform(X_new).T, c=y_new, cmap="tab10", s=5)
    name = ", ".join(f"{name}={value!r}" for name, value in parameters.items()) or "default network"
    ax.set_title(f"{name}\ntrustworthiness {umap.score(X_new):.3f}", fontsize=10)
    ax.set(xticks=[], yticks=[])
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
