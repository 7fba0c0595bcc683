"""The optimizer of the default network, against its formula in float64 by the singular values."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from parametric_umap import ParametricUMAP
from parametric_umap.engine.adam import Adam
from parametric_umap.engine.muon import MOMENTUM, POLYNOMIALS, STRIDE, Muon, orthogonalized

X = load_digits().data[:600]


def of_singular_values(matrix):
    """The polynomials of the singular values of a float64 matrix, whose vectors stay."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / (1.01 * np.linalg.norm(s) + 1e-7)
    for a, b, c in POLYNOMIALS:
        s = a * s + b * s**3 + c * s**5
    return u * s @ v, s


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (160, 160), (160, 64), (1, 5)])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e6])
def test_orthogonalized_is_a_polynomial_of_the_singular_values(shape, unit):
    matrices = unit * torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = orthogonalized(matrices.float())
    assert found.dtype == torch.float32
    for matrix, ours in zip(matrices.numpy(), found.numpy(), strict=True):
        expected, s = of_singular_values(matrix)
        np.testing.assert_allclose(ours, expected, atol=1e-4)
        assert s.max() < 1.3
        # Large singular values come near 1.
        assert (s[: max(1, len(s) // 4)] > 0.6).all()


def test_in_bfloat16_the_direction_is_nearly_the_same():
    matrices = torch.randn(4, 160, 160, generator=torch.Generator().manual_seed(0))
    exact, rounded = orthogonalized(matrices), orthogonalized(matrices, torch.bfloat16)
    assert torch.nn.functional.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0) > 0.995


def test_zeros_stay():
    assert (orthogonalized(torch.zeros(2, 3, 3)) == 0).all()


def test_matrices_move_along_their_momentum_and_the_rest_by_adam():
    network, alone = (nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 2)) for _ in range(2))
    alone.load_state_dict(network.state_dict())
    matrices = [network[0].weight, network[1].weight]
    learning_rates = np.linspace(0.1, 0.01, 12)
    muon = Muon(network.parameters(), learning_rates, matrices)
    adam = Adam([p for p in alone.parameters() if p.ndim == 1 or p is alone[2].weight], learning_rates)
    expected = [matrix.detach().double().numpy().copy() for matrix in matrices]
    momenta = [np.zeros_like(matrix) for matrix in expected]
    random = np.random.default_rng(0)
    for rate in learning_rates:
        gradients = [torch.from_numpy(random.normal(size=p.shape)).float() for p in network.parameters()]
        for parameter, other, gradient in zip(network.parameters(), alone.parameters(), gradients, strict=True):
            parameter.grad += gradient
            if other.grad is not None:
                other.grad += gradient
        muon.step()
        adam.step()
        for i, gradient in enumerate((gradients[0], gradients[2])):
            gradient = gradient.double().numpy()
            momenta[i] = MOMENTUM * momenta[i] + (1 - MOMENTUM) * gradient
            ahead = MOMENTUM * momenta[i] + (1 - MOMENTUM) * gradient
            longer = max(1, ahead.shape[0] / ahead.shape[1]) ** 0.5
            expected[i] -= STRIDE * rate * longer * of_singular_values(ahead)[0]
    muon.release()
    for matrix, known in zip(matrices, expected, strict=True):
        np.testing.assert_allclose(matrix.detach().numpy(), known, atol=1e-3)
        assert matrix.grad is None
        assert matrix.untyped_storage().nbytes() == 4 * matrix.numel()
    for name in ("0.bias", "1.bias", "2.weight", "2.bias"):
        torch.testing.assert_close(network.get_parameter(name), alone.get_parameter(name))


def test_it_learns_more_in_a_step_than_adam():
    how = {"n_epochs": 10, "batches_per_epoch": 14, "random_state": 0}
    losses = {kind: ParametricUMAP(optimizer=kind, **how).fit(X).loss_curve_ for kind in ("muon", "adam")}
    assert losses["muon"]["main_embedding"][-1] < losses["adam"]["main_embedding"][-1]


@pytest.mark.parametrize("asked", [{"encoder": nn.Linear}, {"encoder": "linear"}, {"hidden_layer_sizes": ()}])
def test_networks_without_hidden_matrices_of_ours_have_adam(asked):
    maps = [
        ParametricUMAP(optimizer=kind, n_epochs=2, random_state=0, **asked).fit(X).embedding_
        for kind in ("muon", "adam")
    ]
    np.testing.assert_array_equal(*maps)
