"""Training on a pretended accelerator: no mixed devices, and no wait within an epoch but the one for its loss."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pretended import META, Generator, Hidden

from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import EdgeSampler, MainEmbedding, NeighborhoodSampler, SpectralInit, WholeSampler, train
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.output_metrics import OUTPUT_METRICS
from parametric_umap.terms import Density, GlobalCorrelation, Landmarks, Reconstruction


def network_of(n_features):
    return Encoder(Standardize(np.zeros(n_features), 1.0), 2, (32, 32), "silu", torch.Generator()).network.to(META)


def sampler_on_the_device(sampler, n_samples=300):
    """A sampler whose tables were made on the CPU: on the pretended device nobody knows how large they are."""
    graph = sp.random_array((n_samples, n_samples), density=0.1, rng=0, dtype=np.float32).tocsr()
    sampler = sampler((graph + graph.T).tocsr(), torch.device("cpu"))
    for name, value in vars(sampler).items():
        if isinstance(value, torch.Tensor):
            setattr(sampler, name, value.to(META))
    return sampler


def spectral_init(guides=None):
    n_columns = 2 if guides is None else 2 + guides.out_features
    positions = torch.empty(300, n_columns, device=META)
    return SpectralInit(positions, n_epochs=2, batch_size=50, learning_rate=0.1, guides=guides)


def main_embedding(sampler=NeighborhoodSampler, terms=(), squares=None):
    return MainEmbedding(
        sampler_on_the_device(sampler),
        EdgeCrossEntropy(1.6, 0.9, 5, 1.0, squares=squares),
        n_epochs=2,
        batches_per_epoch=4,
        batch_size=64,
        learning_rate=0.01,
        terms=terms,
    )


def trained(phase, network=None, precision=torch.float32):
    rows, network = torch.empty(300, 30, device=META), network or network_of(30)
    how = {"input_noise": 0.1, "precision": precision, "on_epoch": lambda *_: None}
    train(network, rows, phase, Generator(), matrices=getattr(network, "hidden_matrices", ()), **how)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_positions_are_learned_without_a_hidden_wait(pretended, precision):
    trained(spectral_init(), precision=precision)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_waves_and_guides_are_learned_without_a_hidden_wait(pretended, precision):
    network = network_of(30)
    network.see_waves(16, 0.1, torch.Generator())
    trained(spectral_init(network.new_guides(5, torch.Generator()).to(META)), network, precision)
    trained(main_embedding(), network, precision)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sampler", [EdgeSampler, NeighborhoodSampler, WholeSampler])
def test_the_graph_is_learned_without_a_hidden_wait(pretended, sampler, precision):
    trained(main_embedding(sampler), precision=precision)


def landmarks():
    positions = np.full((300, 2), np.nan, dtype=np.float32)
    positions[:20] = 1
    return Landmarks(positions, 1.0, None, META)


def density():
    return Density(np.arange(300.0), 1.6, 0.9, weight=2.0, share=0.3, var_shift=0.1, device=META)


def reconstruction(loss="mse"):
    held_out = np.arange(300) < 30
    rows = np.random.default_rng(0).uniform(size=(300, 30)).astype(np.float32)
    decoder = torch.nn.Sequential(torch.nn.Linear(2, 30), torch.nn.Sigmoid())
    return Reconstruction(decoder, rows, loss=loss, weight=1.0, autoencoder=True, held_out=held_out, device=META)


@pytest.mark.parametrize(
    "make_term",
    [
        landmarks,
        density,
        lambda: GlobalCorrelation(1.0),
        reconstruction,
        lambda: reconstruction("bce"),
    ],
    ids=["landmarks", "density", "correlation", "mse", "bce"],
)
def test_every_term_is_learned_without_a_hidden_wait(pretended, monkeypatch, make_term):
    monkeypatch.setattr(Reconstruction, "after_epoch", lambda self, n_batches: {})  # where it may wait, too
    trained(main_embedding(terms=[make_term()]))


@pytest.mark.parametrize("output_metric", OUTPUT_METRICS)
def test_maps_that_are_not_flat_are_learned_without_a_hidden_wait(pretended, output_metric):
    trained(main_embedding(squares=OUTPUT_METRICS[output_metric]))


def test_a_loss_of_your_own_on_some_of_the_rows_is_known_to_wait(pretended):
    loss = lambda found, true: (found - true).abs().mean()  # noqa: E731
    with pytest.raises(Hidden):
        trained(main_embedding(terms=[reconstruction(loss)]))


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
