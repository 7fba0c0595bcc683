"""Training on a pretended accelerator: no mixed devices, and no wait within an epoch but the one for its loss."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pretended import META, Generator, Hidden

from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import EdgeSampler, MainEmbedding, NeighborhoodSampler, SpectralInit, train
from parametric_umap.losses import EdgeCrossEntropy


def network_of(n_features):
    return Encoder(Standardize(np.zeros(n_features), 1.0), 2, (32, 32), "silu", torch.Generator()).network.to(META)


def graph_of(n_samples):
    graph = sp.random_array((n_samples, n_samples), density=0.1, rng=0, dtype=np.float32).tocsr()
    return (graph + graph.T).tocsr()


def spectral_init():
    return SpectralInit(torch.empty(300, 2, device=META), n_epochs=2, batch_size=50, learning_rate=0.1)


def main_embedding(sampler, terms=()):
    return MainEmbedding(
        sampler(graph_of(300), META),
        EdgeCrossEntropy(1.6, 0.9, 5, 1.0),
        n_epochs=2,
        batches_per_epoch=4,
        batch_size=64,
        learning_rate=0.01,
        terms=terms,
    )


def trained(phase, network=None, precision=torch.float32):
    rows, network = torch.empty(300, 30, device=META), network or network_of(30)
    how = {"input_noise": 0.1, "precision": precision, "on_epoch": lambda *_: None}
    train(network, rows, phase, Generator(), **how)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_positions_are_learned_without_a_hidden_wait(pretended, precision):
    trained(spectral_init(), precision=precision)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sampler", [EdgeSampler, NeighborhoodSampler])
def test_the_graph_is_learned_without_a_hidden_wait(pretended, sampler, precision):
    trained(main_embedding(sampler), precision=precision)


class Asking(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum().item() > 0 else x


class Masking(torch.nn.Linear):
    def forward(self, x):
        z = super().forward(x)
        return z * len(z[z > 0])


class Putting(torch.nn.Linear):
    def forward(self, x):
        z = super().forward(x).clone()
        z[torch.arange(3, device=z.device), 0] = 0
        return z


class Copying(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) * torch.ones(2).to(x.device)


class Making(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x) * torch.tensor([1.0, 2.0], device=x.device)


class Mixing(torch.nn.Linear):
    def forward(self, x):
        return super().forward(x).index_select(1, torch.tensor([1, 0]))


@pytest.mark.parametrize("network", [Asking, Masking, Putting, Copying, Making, Mixing])
def test_a_network_that_waits_or_copies_is_found(pretended, network):
    with pytest.raises(Hidden):
        trained(spectral_init(), network(30, 2).to(META))
