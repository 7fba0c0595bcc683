"""The Triton kernels of the forces: on a GPU, or run by Triton's interpreter, which needs none."""

import copy
import os

import numpy as np
import pytest
import torch

from parametric_umap import losses
from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import MainEmbedding, NeighborhoodSampler, new_generator, train
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.neighbors import nearest_neighbors

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
pytest.importorskip("triton")


@pytest.fixture
def kernels(monkeypatch):
    """The kernels, taken on any device."""
    from parametric_umap import force_kernels

    def kernels_for(z, weights):
        return force_kernels if z.dtype == torch.float32 and force_kernels.can_compute(z, weights) else None

    monkeypatch.setattr(losses, "kernels_for", kernels_for)


def batch(n_groups, size, n_components):
    random = torch.Generator().manual_seed(0)
    z = torch.randn(n_groups * size, n_components, generator=random)
    weights = torch.rand(n_groups, size, size, generator=random).triu(1)
    return z.to(DEVICE), (weights + weights.transpose(1, 2)).to(DEVICE)


@pytest.mark.parametrize(
    ("n_groups", "size", "n_components", "n_columns"),
    [(24, 16, 2, 128), (37, 11, 3, 50), (150, 2, 1, 128), (1, 40, 2, 16), (3, 64, 8, 16)],
)
def test_forces_are_those_of_float64(kernels, n_groups, size, n_components, n_columns):
    z, weights = batch(n_groups, size, n_components)
    loss = EdgeCrossEntropy(1.58, 0.9, 5, 0.7, n_columns)
    expected, direction = loss.value_and_gradient(z.double(), weights.double())
    found, gradient = loss.value_and_gradient(z, weights)
    assert found.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(gradient.double(), direction, rtol=1e-4, atol=1e-6 * float(direction.abs().max()))


def test_points_that_meet_exert_no_force_and_a_batch_without_an_edge_only_repels(kernels):
    z, weights = batch(6, 4, 2)
    loss = EdgeCrossEntropy(1.58, 0.9, 5, 1.0)
    met = loss.value_and_gradient(torch.ones_like(z), weights)
    assert met[0].isfinite() and (met[1] == 0).all()
    alone = loss.value_and_gradient(z, torch.zeros_like(weights))
    expected = loss.value_and_gradient(z.double(), torch.zeros_like(weights).double())
    torch.testing.assert_close(alone[0].double(), expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(alone[1].double(), expected[1], rtol=1e-4, atol=1e-7)


def test_what_the_kernels_are_not_for_is_left_to_torch():
    from parametric_umap import force_kernels

    for n_groups, size, n_components in ((2, 4, 9), (1, 65, 2)):
        assert not force_kernels.can_compute(*batch(n_groups, size, n_components))
    assert losses.kernels_for(*(part.cpu() for part in batch(2, 4, 2))) is None


def test_training_comes_to_the_same_weights(kernels, monkeypatch):
    X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    graph = fuzzy_simplicial_set(*nearest_neighbors(X, 15))
    first = Encoder(Standardize(np.zeros(4), 1.0), 2, (16,), "silu", torch.Generator()).network
    weights = []
    for by_kernels in (True, False):
        if not by_kernels:
            monkeypatch.setattr(losses, "kernels_for", lambda z, weights: None)
        network = copy.deepcopy(first).to(DEVICE)
        phase = MainEmbedding(
            NeighborhoodSampler(graph, DEVICE),
            EdgeCrossEntropy(1.58, 0.9, 5, 1.0, n_columns=16),
            n_epochs=1,
            batches_per_epoch=12,
            batch_size=64,
            learning_rate=0.01,
        )
        train(network, torch.from_numpy(X).to(DEVICE), phase, new_generator(DEVICE, 0), on_epoch=lambda *_: None)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert not torch.equal(weights[0], torch.cat([p.detach().flatten() for p in first.parameters()]).to(DEVICE))
    without_bias = slice(-2)  # the last: no force moves the whole map, and Adam follows what rounding leaves
    torch.testing.assert_close(weights[0][without_bias], weights[1][without_bias], rtol=1e-3, atol=1e-4)


def test_tools_that_compile_nothing_are_told_of_once(monkeypatch):
    from parametric_umap import force_kernels

    def fails(*args, **kwargs):
        raise RuntimeError("Failed to find C compiler.\nSet CC.")

    monkeypatch.setattr(force_kernels, "loss_and_gradient", fails)
    losses._kernels_on.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="steps on the GPU take longer: Failed to find C compiler."):
            assert losses._kernels_on(torch.device("cpu")) is None
    finally:
        losses._kernels_on.cache_clear()
