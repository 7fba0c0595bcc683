"""ParaDime's "Parametric UMAP" example with the reference recipe's ReLU; ParaDime's own network has softplus."""

from functools import partial

import torch
from paradime.models import FullyConnectedEmbeddingModel
from paradime_recipe import fit
from worker import work


class ReLUNetwork(FullyConnectedEmbeddingModel):
    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


if __name__ == "__main__":
    work(partial(fit, network=ReLUNetwork))
