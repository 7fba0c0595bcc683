"""
An encoder of one's own
=======================

Any module that maps rows, a tensor of shape (n_rows, n_features), to coordinates will do: here, one that sees which
pixels are beside each other. On images as small as these it does worse than the default encoder.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from parametric_umap import ParametricUMAP
from parametric_umap.metrics import knn_accuracy

X, y = load_digits(return_X_y=True)
X = X / 16  # a module is given the rows as they are
X, X_new, y, y_new = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)


# %%
# A function of the numbers of features and of components, such as a class, makes the module anew for every fit.


class Convolutional(nn.Sequential):
    def __init__(self, n_features, n_components):
        super().__init__(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(256, 64),
            nn.SiLU(),
            nn.Linear(64, n_components),
        )


fig, axes = plt.subplots(1, 2, figsize=(9, 4.9), layout="constrained")
for ax, encoder, name in ((axes[0], None, "the default encoder"), (axes[1], Convolutional, "a convolutional one")):
    umap = ParametricUMAP(encoder=encoder, random_state=0).fit(X)
    Z_new = umap.transform(X_new)
    accuracy = knn_accuracy(umap.embedding_, y, Z_new, y_new)
    drawn = ax.scatter(*Z_new.T, c=y_new, cmap="tab10", s=8)
    ax.set(title=f"{name}: k-NN accuracy {accuracy:.3f}", xticks=[], yticks=[])
fig.suptitle("digits that were not fitted")
fig.legend(*drawn.legend_elements(num=None), loc="outside lower center", ncols=10, frameon=False, handletextpad=0)
plt.show()
