import math

import numpy as np
import pytest
import torch
import umap.umap_

from parametric_umap.losses import EPSILON, EdgeCrossEntropy, PositionLoss, find_ab_params

CURVES = [(1.5769, 0.8951), (1.9328, 0.7905), (0.1193, 1.9164), (5.0, 0.5), (1.0, 1.0)]


def random_coordinates(n_rows, n_components, seed=0):
    return 3 * torch.randn(n_rows, n_components, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def edges(n_edges):
    """The weights of groups that are single edges."""
    return torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).expand(n_edges, 2, 2)


def neighborhoods(n_groups, size, seed=0):
    """Random symmetric weights within groups, half of them missing; the last group has no edge."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(n_groups, size, size, dtype=torch.float64, generator=generator)
    weights = torch.triu(weights * (weights > 0.5), 1)
    weights[-1] = 0
    return weights + weights.transpose(1, 2)


GROUPS = {"edges": edges(30), "neighborhoods": neighborhoods(6, 10), "one group": neighborhoods(2, 60)[:1]}


def autograd(loss, z, *others):
    """Value and gradient of ``loss.value`` by autograd."""
    z = z.clone().requires_grad_()
    value = loss.value(z, *others)
    (gradient,) = torch.autograd.grad(value, z)
    return value.detach(), gradient


def assert_gradient_equals_autograd(loss, z, *others):
    value, gradient = autograd(loss, z, *others)
    loss_value, closed_form = loss.value_and_gradient(z, *others)
    assert closed_form.dtype == torch.float64
    assert closed_form.isfinite().all()
    torch.testing.assert_close(closed_form, gradient, rtol=0, atol=1e-9)
    torch.testing.assert_close(loss_value, value, rtol=1e-9, atol=1e-9)
    return loss_value, value, closed_form


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize(
    ("spread", "min_dist"),
    [(1, 0.1), (1, 0), (1, 0.5), (1, 1), (0.5, 0.25), (2, 0.01), (5, 0.5), (10, 0.1), (0.3, 0.3)],
)
def test_curve_equals_umap_learn(spread, min_dist):
    np.testing.assert_allclose(find_ab_params(spread, min_dist), umap.umap_.find_ab_params(spread, min_dist), rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("spread", "min_dist"), [(1, 0), (1, 0.1), (1, 0.99), (5, 0.5), (0.1, 0.1), (0.01, 0), (1e-6, 1e-7), (1e5, 1)]
)
def test_curve_follows_the_decay_without_a_warning(spread, min_dist):
    a, b = find_ab_params(spread, min_dist)
    assert a > 0
    assert b > 0
    distance = np.linspace(0, 3 * spread, 50)
    decay = np.minimum(1, np.exp((min_dist - distance) / spread))
    np.testing.assert_allclose(1 / (1 + a * distance ** (2 * b)), decay, atol=0.12)


@pytest.mark.parametrize("n_components", [1, 2, 10])
def test_position_loss_is_the_mean_squared_error(n_components):
    z, positions = random_coordinates(7, n_components), random_coordinates(7, n_components, seed=1)
    loss, _, gradient = assert_gradient_equals_autograd(PositionLoss(), z, positions)
    expected = sum((z[i, c] - positions[i, c]) ** 2 for i in range(7) for c in range(n_components)) / (7 * n_components)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert PositionLoss().value(z, positions).item() == pytest.approx(expected.item(), rel=1e-12)
    assert (PositionLoss().value_and_gradient(z, z)[1] == 0).all()
    assert gradient.shape == z.shape


@pytest.mark.parametrize("n_components", [1, 2, 3, 10])
@pytest.mark.parametrize("n_columns", [512, 60, 59, 7, 1])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("a", "b"), CURVES)
def test_edge_gradient_equals_autograd(a, b, groups, n_columns, n_components):
    loss = EdgeCrossEntropy(a, b, 5, 1.0, n_columns)
    assert_gradient_equals_autograd(loss, random_coordinates(60, n_components), GROUPS[groups])


@pytest.mark.parametrize("n_edges", [1, 2])
def test_edge_gradient_equals_autograd_for_the_smallest_batches(n_edges):
    assert_gradient_equals_autograd(
        EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0), random_coordinates(2 * n_edges, 2), edges(n_edges)
    )


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("repulsion_strength", [0.0, 0.3, 4.0])
@pytest.mark.parametrize("negative_sample_rate", [1, 3, 50])
def test_edge_gradient_equals_autograd_for_every_weight_of_repulsion(negative_sample_rate, repulsion_strength, groups):
    loss = EdgeCrossEntropy(1.5769, 0.8951, negative_sample_rate, repulsion_strength, 16)
    assert_gradient_equals_autograd(loss, random_coordinates(60, 2), GROUPS[groups])


@pytest.mark.parametrize("n_components", [1, 2, 3, 10])
@pytest.mark.parametrize("n_columns", [512, 10])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("a", "b"), CURVES)
def test_edge_gradient_equals_autograd_where_points_coincide(a, b, groups, n_columns, n_components):
    z = random_coordinates(60, n_components)
    z[3] = z[2]  # the two ends of an edge
    z[5] = z[3]
    z[40:45] = z[3]
    assert_gradient_equals_autograd(EdgeCrossEntropy(a, b, 5, 1.0, n_columns), z, GROUPS[groups])


@pytest.mark.parametrize("n_components", [1, 2, 10])
@pytest.mark.parametrize("n_columns", [512, 10])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("a", "b"), CURVES)
def test_edge_gradient_equals_autograd_where_points_are_far(a, b, groups, n_columns, n_components):
    loss = EdgeCrossEntropy(a, b, 5, 1.0, n_columns)
    z = random_coordinates(60, n_components)
    assert_gradient_equals_autograd(loss, 1e4 * z, GROUPS[groups])
    assert_gradient_equals_autograd(loss, z + 1e4, GROUPS[groups])
    halves = z.clone()
    halves[::2] += 1e4
    assert_gradient_equals_autograd(loss, halves, GROUPS[groups])


@pytest.mark.parametrize("place", [0.0, 1 / 3, 1e4 / 3])
@pytest.mark.parametrize(("a", "b"), CURVES)
def test_points_that_coincide_exert_no_force_on_each_other(a, b, place):
    z = torch.full((60, 2), place, dtype=torch.float64)
    for weights in GROUPS.values():
        loss, gradient = EdgeCrossEntropy(a, b, 5, 1.0, 16).value_and_gradient(z, weights)
        assert loss.isfinite()
        assert gradient.abs().max() < 1e-9


def test_a_batch_without_an_edge_only_repels():
    z = random_coordinates(60, 2)
    loss = EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0)
    without, with_edges = (loss.value_and_gradient(z, weights) for weights in (0 * edges(30), edges(30)))
    attraction = EdgeCrossEntropy(1.5769, 0.8951, 5, 0.0).value_and_gradient(z, edges(30))
    assert without[0] > 0
    torch.testing.assert_close(without[0] + attraction[0], with_edges[0])
    torch.testing.assert_close(without[1] + attraction[1], with_edges[1])


@pytest.mark.parametrize("n_columns", [512, 60, 16, 11])
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("a", "b"), CURVES)
def test_edge_loss_is_the_stated_formula(a, b, groups, n_columns):
    rate, strength = 3, 0.7
    weights = GROUPS[groups].numpy()
    z = random_coordinates(60, 2).numpy()
    size = weights.shape[1]

    def similarity(x, y):
        return 1 / (1 + a * (sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) + EPSILON) ** b)

    pairs = [(g, i, j) for g in range(len(weights)) for i in range(size) for j in range(i)]
    attraction = sum(
        -weights[g, i, j] * math.log(similarity(z[size * g + i], z[size * g + j])) for g, i, j in pairs
    ) / sum(weights[g, i, j] for g, i, j in pairs)
    columns = range(0, 60, max(1, 60 // n_columns))
    alone = size if len(weights) > 1 else 1  # where there is no other group, all others repel
    repulsion = [-math.log(1 - similarity(z[i], z[k])) for i in range(60) for k in columns if i // alone != k // alone]
    expected = attraction + strength * rate * sum(repulsion) / max(1, len(repulsion))
    loss = EdgeCrossEntropy(a, b, rate, strength, n_columns)
    z = torch.from_numpy(z)
    assert loss.value(z, GROUPS[groups]).item() == pytest.approx(expected, rel=1e-9)
    assert loss.value_and_gradient(z, GROUPS[groups])[0].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), CURVES)
@pytest.mark.parametrize("distance", [3.0, 10.0, 100.0])
def test_similarity_is_that_of_umap_where_epsilon_is_negligible(a, b, distance):
    z = torch.tensor([[0.0, 0.0], [0.6 * distance, 0.8 * distance]], dtype=torch.float64)
    q = math.exp(-EdgeCrossEntropy(a, b, 5, repulsion_strength=0.0).value(z, edges(1)).item())
    assert q == pytest.approx(1 / (1 + a * distance ** (2 * b)), rel=1e-3 * b / distance**2 + 1e-9)


@pytest.mark.parametrize("extent", [20, 300])
def test_float32_gradient_is_close_to_the_float64_one_in_wide_embeddings_too(extent):
    generator = torch.Generator().manual_seed(0)
    centres = extent * (2 * torch.rand(20, 2, generator=generator) - 1)
    z = centres[torch.arange(400) // 20] + 0.1 * torch.randn(400, 2, generator=generator)
    weights = neighborhoods(40, 10)
    loss = EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0, 128)
    _, expected = autograd(loss, z.double(), weights)
    gradient = loss.value_and_gradient(z, weights.float())[1]
    assert gradient.dtype == torch.float32
    assert (gradient - expected).norm() < 1e-3 * expected.norm()


def test_the_rows_given_are_not_changed():
    z = random_coordinates(60, 2)
    weights = neighborhoods(6, 10)
    before = z.clone(), weights.clone()
    EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0, 16).value_and_gradient(z, weights)
    PositionLoss().value_and_gradient(z, torch.zeros_like(z))
    assert (z == before[0]).all()
    assert (weights == before[1]).all()


def test_expected_repulsion_of_a_column_subset_is_that_of_all_columns():
    """A random order of the edges makes any of the rows a fair sample."""
    z = random_coordinates(40, 2).view(20, 2, 2)
    generator = torch.Generator().manual_seed(0)
    whole = EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0, 512).value(z.reshape(40, 2), edges(20))
    sampled = EdgeCrossEntropy(1.5769, 0.8951, 5, 1.0, 10)
    orders = [torch.randperm(20, generator=generator) for _ in range(400)]
    batches = [z[order][:, torch.randperm(2, generator=generator)].reshape(40, 2) for order in orders]
    losses = torch.stack([sampled.value(rows, edges(20)) for rows in batches])
    assert abs(losses.mean() - whole) < 4 * losses.std() / 20
