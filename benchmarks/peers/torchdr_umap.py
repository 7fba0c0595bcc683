"""TorchDR's UMAP, training the reference recipe's network at the recipe's learning rate.

Its own optimizer, SGD at a rate of 1, is made to move points; on the weights of a network it ends in a map without any
structure.
"""

from itertools import pairwise

import torch
from torch import nn
from torchdr import UMAP
from worker import work


def fit(X, seed):
    torch.manual_seed(seed)
    model = UMAP(encoder=network(X.shape[1]), optimizer="Adam", lr=0.01, backend=None, random_state=seed)
    return model.fit_transform(X), model.transform


def network(n_features, width=100):
    widths = [n_features, width, width, width]
    hidden = [part for pair in pairwise(widths) for part in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(width, 2))


if __name__ == "__main__":
    work(fit)
