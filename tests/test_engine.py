import math
import warnings
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import load_digits
from torch import nn

from parametric_umap import ParametricUMAP
from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import (
    EdgeSampler,
    MainEmbedding,
    NeighborhoodSampler,
    SpectralInit,
    Training,
    as_rows,
    body_precision,
    captured,
    device_or_cpu,
    embed,
    feature_gap,
    resolve_device,
    torch_settings,
    train,
    training,
)
from parametric_umap.engine import rows as rows_module
from parametric_umap.engine import sampler as sampler_module
from parametric_umap.engine import training as training_module
from parametric_umap.engine.adam import BETAS, Adam
from parametric_umap.engine.captured import CapturedEpoch
from parametric_umap.engine.phases import Batch
from parametric_umap.losses import EdgeCrossEntropy
from parametric_umap.neighbors import Neighbors

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread():
    """So small steps are quicker, above all where other processes share the cores."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def as_given(x):
    return x.float()


def random_graph(n=30, seed=0):
    """Symmetric weights, a few of them stored zeros, and an isolated last node."""
    rng = np.random.default_rng(seed)
    weights = np.triu(rng.uniform(0.01, 1, size=(n, n)) * (rng.uniform(size=(n, n)) < 0.3), 1)
    weights[-1:] = weights[:, -1:] = 0
    graph = sp.csr_array((weights + weights.T).astype(np.float32))
    graph.data[[0, 5, -1]] = 0
    return graph


def linear_problem(n=400, n_features=3):
    """Rows, positions that are an affine function of them, and a network that can learn it."""
    rows = torch.randn(n, n_features, generator=generator(1))
    positions = rows @ torch.randn(n_features, 2, generator=generator(2)) + torch.tensor([1.0, -2.0])
    network = Encoder(Standardize(np.zeros(n_features), 1.0), 2, (), "silu", generator(3)).network
    return network, rows, positions


def no_report(phase, epoch, loss):
    pass


def test_edges_are_drawn_as_often_as_their_weights_say():
    graph = random_graph()
    n_draws = 200_000
    members, weights = EdgeSampler(graph, CPU).draw(20, n_draws // 20, generator())
    assert members.dtype == torch.int64
    assert members.shape == (20, n_draws // 20, 2)
    assert weights.shape == (20, n_draws // 20, 2, 2)
    assert (weights == torch.tensor([[0.0, 1.0], [1.0, 0.0]])).all()
    heads, tails = members.view(-1, 2).T.numpy()
    counts = np.zeros(graph.shape)
    np.add.at(counts, (heads, tails), 1)
    expected = graph.toarray().astype(np.float64) * n_draws / graph.sum(dtype=np.float64)
    assert (counts[expected == 0] == 0).all()
    edges = expected > 0
    statistic = ((counts - expected)[edges] ** 2 / expected[edges]).sum()
    degrees = edges.sum() - 1
    assert abs(statistic - degrees) < 5 * np.sqrt(2 * degrees)


def test_an_edge_of_weight_zero_is_not_drawn_even_at_the_ends_of_the_others(monkeypatch):
    weights = np.float32([0, 0.25, 0, 0.25, 0.5, 0])
    graph = sp.csr_array((weights, np.arange(6), np.arange(7)), shape=(6, 6))
    draws = torch.tensor([[0.0, 0.25, 0.5, np.nextafter(1, 0)]], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: draws)
    members, _ = EdgeSampler(graph, CPU).draw(1, 4, generator())
    assert members[0, :, 0].tolist() == [1, 3, 4, 4]


def test_a_graph_of_one_edge_gives_that_edge():
    graph = sp.csr_array((np.float32([1e-30, 1e-30]), ([2, 4], [4, 2])), shape=(6, 6))
    members, _ = EdgeSampler(graph, CPU).draw(10, 10, generator())
    assert set(map(tuple, members.view(-1, 2).tolist())) == {(2, 4), (4, 2)}


@pytest.mark.parametrize("sampler", [EdgeSampler, NeighborhoodSampler])
def test_draws_come_from_the_generator_only(sampler):
    sampler = sampler(random_graph(), CPU)
    state = torch.get_rng_state()
    draws = [sampler.draw(7, 5, generator(seed))[0] for seed in (0, 0, 1)]
    assert (torch.get_rng_state() == state).all()
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("size", [2, 4, 16, 40])
def test_a_neighborhood_is_a_row_its_strongest_neighbors_and_all_edges_between_them(size):
    graph = sp.csr_array(np.minimum(random_graph().toarray(), random_graph().toarray().T))
    dense = graph.toarray()
    sampler = NeighborhoodSampler(graph, CPU, size)
    members, weights = sampler.draw(30, 20, generator())
    assert sampler.group_size == min(size, 1 + np.diff(graph.indptr).max())
    assert members.shape == (30, 20, sampler.group_size)
    seeds = members[:, :, 0].flatten()
    assert len(seeds.unique()) == 30
    for group, within in zip(members.flatten(0, 1).numpy(), weights.flatten(0, 1).numpy(), strict=True):
        n_neighbors = np.diff(graph.indptr)[group[0]]
        strongest = np.sort(dense[group[0]])[::-1][: size - 1]
        real = min(n_neighbors, size - 1) + 1
        np.testing.assert_array_equal(dense[group[0], group[1:real]], strongest[: real - 1])
        assert len(set(group[:real])) == real
        assert (group[real:] == group[0]).all()
        np.testing.assert_array_equal(within[:real, :real], dense[np.ix_(group[:real], group[:real])])
        assert (within[real:] == 0).all()
        assert (within[:, real:] == 0).all()


@pytest.mark.parametrize("n_kept", [0, 2**16])
def test_neighborhoods_of_a_row_that_everything_is_joined_to(monkeypatch, n_kept):
    """An edge is kept at its end of lower degree, or the hub's list would be as long as the data."""
    n = 200
    weights = np.zeros((n, n), dtype=np.float32)
    weights[0, 1:] = weights[1:, 0] = np.linspace(0.1, 0.9, n - 1)
    weights[np.arange(1, n - 1), np.arange(2, n)] = weights[np.arange(2, n), np.arange(1, n - 1)] = 0.5
    monkeypatch.setattr(sampler_module, "KEPT_ROWS", n_kept)  # the weights are the same, found once or for each batch
    monkeypatch.setattr(sampler_module, "FOUND_ROWS", 64)
    sampler = NeighborhoodSampler(sp.csr_array(weights), CPU)
    assert n_kept or sampler.tails.shape[1] <= 3
    members, within = sampler.draw(1, 500, generator())
    expected = weights[members[0, :, :, None], members[0, :, None]]
    filled_up = (members[0] == members[0, :, :1]) & (torch.arange(16) > 0)
    expected[filled_up] = 0
    expected.swapaxes(1, 2)[filled_up] = 0
    np.testing.assert_array_equal(within[0], expected)


def test_neighborhoods_of_rows_without_an_edge_have_none():
    members, weights = NeighborhoodSampler(sp.csr_array((4, 4), dtype=np.float32), CPU).draw(2, 3, generator())
    assert (members == members[:, :, :1]).all()
    assert (weights == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_is_that_of_torch(dtype):
    steps = 50
    learning_rates = np.linspace(0.1, 0.001, steps)
    ours, theirs = (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).to(dtype) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    adam = Adam(ours.parameters(), learning_rates)
    reference = torch.optim.Adam(theirs.parameters(), betas=BETAS)
    for i in range(steps):
        x = torch.randn(8, 3, dtype=dtype, generator=generator(i))
        for network in (ours, theirs):
            (network(x) ** 4).mean().backward()
        adam.step()
        reference.param_groups[0]["lr"] = learning_rates[i]
        reference.step()
        reference.zero_grad()
    adam.release()
    for parameter, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-5)
        assert parameter.grad is None
        assert parameter.untyped_storage().nbytes() == parameter.numel() * parameter.element_size()


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (10, 500), (1, 1), (1000, 64), (11, 10)])
def test_an_epoch_of_positions_visits_every_row(n, batch_size):
    phase = SpectralInit(torch.zeros(n, 2), n_epochs=1, batch_size=batch_size, learning_rate=0.1)
    index, targets = phase.draw_epoch(generator())
    assert index.shape == (phase.batches_per_epoch, phase.batch_size)
    assert targets.shape == (*index.shape, 2)
    assert phase.batch_size == min(n, batch_size)
    visits = torch.bincount(index.flatten(), minlength=n)
    assert len(visits) == n
    assert visits.min() == 1
    assert visits.sum() < n + batch_size
    assert n == 1 or (index != phase.draw_epoch(generator(1))[0]).any()


def test_positions_of_a_batch_are_compared_with_its_rows():
    positions = torch.randn(10, 2, generator=generator())
    phase = SpectralInit(positions, n_epochs=1, batch_size=3, learning_rate=0.1)
    index, targets = phase.draw_epoch(generator())
    assert (targets == positions[index]).all()
    loss, gradient = phase.loss.value_and_gradient(targets[0] + torch.tensor([1.0, 0.0]), targets[0])
    assert loss.item() == pytest.approx(0.5)
    torch.testing.assert_close(gradient, torch.tensor([[1 / 3, 0.0]] * 3))


@pytest.mark.parametrize("sampler", [EdgeSampler, NeighborhoodSampler])
@pytest.mark.parametrize("batch_size", [1, 50, 52])
def test_an_epoch_holds_groups_of_about_two_rows_for_an_edge(sampler, batch_size):
    sampler = sampler(random_graph(), CPU)
    loss = EdgeCrossEntropy(1.6, 0.9, 5, 1.0)
    phase = MainEmbedding(sampler, loss, n_epochs=1, batches_per_epoch=6, batch_size=batch_size, learning_rate=0.1)
    index, weights = phase.draw_epoch(generator())
    n_groups = -(-2 * batch_size // sampler.group_size)
    assert weights.shape == (6, n_groups, sampler.group_size, sampler.group_size)
    assert index.shape == (6, n_groups * sampler.group_size)
    members, _ = sampler.draw(6, n_groups, generator())
    assert (index == members.flatten(1)).all()
    z = torch.randn(index.shape[1], 2, generator=generator())
    torch.testing.assert_close(phase.loss.value_and_gradient(z, weights[0])[0], loss.value(z, weights[0]))


class Counting:
    """A phase whose losses are 0, 1, 2, … and whose gradient is zero."""

    terms = ()
    name = "counting"
    n_epochs = 3
    batches_per_epoch = 4
    learning_rate = 0.1

    def __init__(self):
        self.n_steps = 0
        self.loss = self

    def network_of(self, network):
        return network

    def draw_epoch(self, generator):
        return Batch(*torch.zeros(2, self.batches_per_epoch, 2, dtype=torch.int64))

    def value_and_gradient(self, z, targets):
        assert not z.requires_grad
        self.n_steps += 1
        return torch.tensor(self.n_steps - 1.0), torch.zeros_like(z)


def test_losses_are_the_means_of_the_batches_and_are_reported_after_every_epoch():
    phase, reports = Counting(), []
    losses = train(nn.Linear(3, 2), torch.ones(5, 3), phase, generator(), on_epoch=lambda *args: reports.append(args))
    assert losses.dtype == np.float64
    assert losses.tolist() == [1.5, 5.5, 9.5]
    assert reports == [(phase, 1, 1.5), (phase, 2, 5.5), (phase, 3, 9.5)]


@pytest.mark.parametrize(("batch_size", "n_epochs"), [(50, 40), (400, 300), (5000, 300)])
def test_training_learns_a_linear_target(batch_size, n_epochs):
    network, rows, positions = linear_problem()
    phase = SpectralInit(positions, n_epochs=n_epochs, batch_size=batch_size, learning_rate=0.2)
    losses = train(network, rows, phase, generator(), on_epoch=no_report)
    assert losses.shape == (n_epochs,)
    assert losses[-1] < 1e-4 * losses[0]
    assert (network(rows) - positions).abs().max() < 0.02
    assert not network.training


def test_training_on_the_graph_lowers_the_loss_and_draws_its_parts_together():
    graph = sp.csr_array(sp.block_diag([np.ones((20, 20)) - np.eye(20)] * 2), dtype=np.float32)
    rows = torch.eye(40)
    network = Encoder(Standardize(np.zeros(40), 1.0), 2, (16,), "silu", generator()).network
    loss = EdgeCrossEntropy(1.6, 0.9, 1, 1.0)
    phase = MainEmbedding(
        EdgeSampler(graph, CPU), loss, n_epochs=10, batches_per_epoch=20, batch_size=64, learning_rate=0.05
    )
    losses = train(network, rows, phase, generator(), on_epoch=no_report)
    assert losses[-1] < 0.8 * losses[0]
    with torch.no_grad():
        one, other = network(rows).split(20)
    assert torch.cdist(one, other).mean() > 1.5 * torch.cdist(one, one).mean()


def test_training_is_the_same_for_the_same_generator():
    graph = random_graph()
    weights = []
    for seed in (0, 0, 1):
        network = Encoder(Standardize(np.zeros(30), 1.0), 2, (8,), "silu", generator()).network
        phase = MainEmbedding(
            EdgeSampler(graph, CPU),
            EdgeCrossEntropy(1.6, 0.9, 5, 1.0),
            n_epochs=2,
            batches_per_epoch=5,
            batch_size=64,
            learning_rate=0.05,
        )
        train(network, torch.eye(30), phase, generator(seed), input_noise=0.1, on_epoch=no_report)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert (weights[0] == weights[1]).all()
    assert (weights[0] != weights[2]).any()


def test_learning_rate_falls_to_zero_along_half_a_cosine(monkeypatch):
    rates = []

    class Spy(Adam):
        def __init__(self, parameters, learning_rates):
            rates.extend(learning_rates)
            super().__init__(parameters, learning_rates)

    monkeypatch.setattr(training, "Adam", Spy)
    network, rows, positions = linear_problem()
    phase = SpectralInit(positions, n_epochs=10, batch_size=20, learning_rate=0.3)
    train(network, rows, phase, generator(), on_epoch=no_report)
    expected = [0.15 * (1 + math.cos(math.pi * i / 200)) for i in range(200)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("batch_size", [50, 400])
def test_parameters_that_need_no_gradient_stay(batch_size):
    _, rows, positions = linear_problem()
    network = nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2))
    network[0].requires_grad_(False)
    network[1].bias.requires_grad_(False)
    before = [parameter.clone() for parameter in network.parameters()]
    phase = SpectralInit(positions, n_epochs=3, batch_size=batch_size, learning_rate=0.1)
    train(network, rows, phase, generator(), on_epoch=no_report)
    changed = [(old != new).any().item() for old, new in zip(before, network.parameters(), strict=True)]
    assert changed == [False, False, True, False]


@pytest.mark.parametrize("case", ["learning rate", "targets", "graph"])
def test_training_that_diverges_names_its_phase(case):
    network, rows, positions = linear_problem()
    learning_rate = 0.1 if case == "targets" else 1e30
    if case == "targets":
        positions[7, 1] = torch.inf
    phase = SpectralInit(positions, n_epochs=5, batch_size=40, learning_rate=learning_rate)
    if case == "graph":
        network, rows = nn.Linear(30, 2), torch.eye(30)
        phase = MainEmbedding(
            EdgeSampler(random_graph(), CPU),
            EdgeCrossEntropy(1.6, 0.9, 5, 1.0),
            n_epochs=5,
            batches_per_epoch=10,
            batch_size=64,
            learning_rate=learning_rate,
        )
    reports = []
    message = f"^the loss of phase '{phase.name}' became (inf|nan) in epoch 1; a smaller "
    with pytest.raises(FloatingPointError, match=message.replace("+", r"\+")):
        train(network, rows, phase, generator(), on_epoch=lambda *args: reports.append(args))
    assert reports == []


class Standing(Adam):
    """An optimizer that leaves parameters and gradients as they are."""

    def step(self):
        pass


def loss_and_gradient(network, rows, phase, precision, encoded, position_in_batch, batch):
    """What a step finds, without noise and before it moves anything."""
    state = Training(network, rows, [phase], generator(), precision=precision)
    with state.within(phase):
        state.optimizer = Standing(network.parameters(), np.zeros(1))
        loss = state.step(rows[encoded], encoded, position_in_batch, (*batch, torch.tensor(0.0), torch.tensor(0)))
        return loss, state.optimizer.gradient.clone()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_index", [3, 11, 12, 100, 700])
def test_a_batch_whose_rows_repeat_has_the_gradient_of_one_that_encodes_them_all(n_index, precision):
    rows = torch.randn(12, 3, generator=generator())
    network = Encoder(Standardize(np.zeros(3), 1.0), 2, (8,), "silu", generator()).network
    positions = torch.randn(12, 2, generator=generator())
    phase = SpectralInit(positions, n_epochs=1, batch_size=12, learning_rate=0.1)
    index = torch.randint(12, (n_index,), generator=generator())
    expected_loss = ((network(rows[index]) - positions[index]) ** 2).mean()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(expected_loss, list(network.parameters()))])
    encoded, position = training._each_once(index)
    assert len(encoded) % training.ROUNDING == 0
    assert (encoded[position] == index).all()
    batch = (index, positions[index])
    loss, gradient = loss_and_gradient(network, rows, phase, precision, encoded, position, batch)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if precision == torch.float32 else {"rtol": 0.1, "atol": 0.02}
    torch.testing.assert_close(loss, expected_loss.detach(), **tolerance)
    torch.testing.assert_close(gradient, expected, **tolerance)


class Recording(nn.Module):
    """A linear map that remembers its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.inputs = []

    def forward(self, x):
        self.inputs.append(x.detach().clone())
        return self.linear(x)


@pytest.mark.parametrize("batch_size", [2000, 5000])
def test_input_noise_has_the_deviation_asked_for_and_leaves_the_rows_alone(batch_size):
    rows = torch.ones(5000, 3)
    phase = SpectralInit(torch.zeros(5000, 2), n_epochs=2, batch_size=batch_size, learning_rate=0.1)
    network = Recording()
    train(network, rows, phase, generator(), input_noise=0.2, on_epoch=no_report)
    assert (rows == 1).all()
    for noise in network.inputs:
        assert (noise - 1).mean().abs() < 0.02
        assert (noise - 1).std().item() == pytest.approx(0.2, rel=0.05)
    assert (network.inputs[0] != network.inputs[1]).any()


def test_without_input_noise_the_network_sees_the_rows():
    rows = torch.randn(100, 3, generator=generator())
    phase = SpectralInit(torch.zeros(100, 2), n_epochs=1, batch_size=100, learning_rate=0.1)
    network = Recording()
    train(network, rows, phase, generator(), on_epoch=no_report)
    seen = network.inputs[0]
    assert len(seen) == 128  # 28 of them twice, so that batches of about this size have one shape
    assert (seen.unique(dim=0) == rows.unique(dim=0)).all()


def test_a_step_in_bfloat16_has_the_gradient_of_float32_within_rounding():
    rows = torch.randn(500, 20, generator=generator())
    phase = SpectralInit(torch.randn(500, 2, generator=generator(1)), n_epochs=1, batch_size=500, learning_rate=0.1)
    gradients = []
    for precision in (torch.float32, torch.bfloat16):
        network = Encoder(Standardize(np.zeros(20), 1.0), 2, (64, 64), "silu", generator()).network
        every = torch.arange(500)
        gradients.append(loss_and_gradient(network, rows, phase, precision, every, every, (every, phase.positions))[1])
    in_float32, in_bfloat16 = gradients
    error = (in_bfloat16 - in_float32).norm() / in_float32.norm()
    assert 0 < error < 2**-6


@pytest.mark.parametrize(
    ("capabilities", "gap", "expected"),
    [
        ({"avx512_bf16": True}, 0.1, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, 0.1, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False}, 0.1, torch.float32),
        ({}, 0.1, torch.float32),
        ({"avx512_bf16": True}, 1e-3, torch.float32),
        ({"avx512_bf16": True}, 0.0, torch.float32),
    ],
)
def test_bfloat16_is_for_processors_that_have_it_and_neighbors_that_it_tells_apart(
    monkeypatch, capabilities, gap, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert body_precision(CPU, gap) == expected


def test_an_older_torch_that_tells_no_capabilities_trains_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert body_precision(CPU, 0.1) == torch.float32


def test_a_device_that_is_not_known_to_be_faster_trains_in_float32():
    assert body_precision(torch.device("mps"), 0.1) == torch.float32


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_feature_gap_is_the_median_distance_to_the_nearest_neighbor_per_root_feature(container):
    X = np.random.default_rng(0).normal(size=(301, 6))
    X[3] = 1e6  # a single far row changes nothing
    distances = np.linalg.norm(X[:, None] - X, axis=2)
    indices = np.argsort(distances, axis=1)[:, :5].astype(np.int32)
    expected = np.median(np.sort(distances, axis=1)[:, 1]) / 6**0.5
    rows = container(X)
    neighbors = Neighbors.of(indices, np.sort(distances, axis=1)[:, :5])
    assert feature_gap(rows, as_given, neighbors, n_samples=301) == pytest.approx(expected, rel=1e-5)
    assert feature_gap(rows, as_given, neighbors, n_samples=101) == pytest.approx(expected, rel=0.2)


def sparse_data(dtype=np.float64):
    rng = np.random.default_rng(0)
    return sp.csr_array((rng.normal(size=(700, 9)) * (rng.uniform(size=(700, 9)) < 0.3)).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [sp.csr_array, sp.csr_matrix])
def test_dense_and_sparse_rows_are_identical(monkeypatch, container, dtype):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 1)
    X = sparse_data(dtype)
    monkeypatch.setattr(rows_module, "DENSE_WIDTH", 8)
    prepare = Standardize.of(X.toarray())
    dense, sparse = as_rows(X.toarray(), prepare, CPU), as_rows(container(X), prepare, CPU)
    expected = prepare(torch.from_numpy(X.toarray()))
    assert len(dense) == len(sparse) == 700
    assert dense.shape == sparse.shape == (700, 9)
    for index in (torch.tensor([5, 699, 0, 5]), torch.arange(700)):
        for rows in (dense, sparse):
            assert rows.index_select(0, index).dtype == torch.float32
            assert (rows.index_select(0, index) == expected[index]).all()


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_training_is_the_same_where_rows_stay_on_the_host(monkeypatch, container):
    """As on a GPU that is too small for them."""
    X = np.random.default_rng(0).normal(size=(300, 5))
    weights = []
    for room in (np.inf, 0):
        monkeypatch.setattr(rows_module, "_room", lambda device, room=room: room)
        rows = as_rows(container(X), as_given, CPU)
        assert isinstance(rows, torch.Tensor) == (room > 0)
        network = Encoder(Standardize(np.zeros(5), 1.0), 2, (8,), "silu", generator()).network
        phase = SpectralInit(torch.ones(300, 2), n_epochs=3, batch_size=40, learning_rate=0.1)
        train(network, rows, phase, generator(), input_noise=0.1, on_epoch=no_report)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert (weights[0] == weights[1]).all()


@pytest.mark.parametrize("sent_bytes", [1, 4 * 40 * 5 * 3, 2**26])
def test_a_device_that_is_sent_rows_learns_as_one_that_holds_them(monkeypatch, sent_bytes):
    """Eight batches, sent one, three or all at a time; steps run as they are, since nothing is captured here."""
    monkeypatch.setattr(training_module, "SENT_BYTES", sent_bytes)
    X = np.random.default_rng(0).normal(size=(300, 5))
    weights = []
    for is_sent in (False, True):
        monkeypatch.setattr(rows_module, "_room", lambda device, is_sent=is_sent: 0 if is_sent else np.inf)
        network = Encoder(Standardize(np.zeros(5), 1.0), 2, (8,), "silu", generator()).network
        phase = SpectralInit(torch.ones(300, 2), n_epochs=3, batch_size=40, learning_rate=0.1)
        training = Training(network, as_rows(X, as_given, CPU), [phase], generator(), precision=torch.float32)
        with training.within(phase):
            if is_sent:
                training.run_batches = partial(training._run_sent, CapturedEpoch(training._step_of_sent, 1))
            losses = [training.run_epoch() for _ in range(3)]
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert losses[-1] < losses[0]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-4, atol=1e-5)


def test_rows_do_not_share_memory_with_the_data():
    X = np.ones((5, 3), dtype=np.float32)
    rows = as_rows(X, as_given, CPU)
    rows.zero_()
    assert (X == 1).all()


def test_sparse_rows_are_never_made_dense_as_a_whole(monkeypatch):
    X = sparse_data()
    toarray = sp.csr_array.toarray

    def guard(self, *args, **kwargs):
        assert self.shape[0] < X.shape[0], "the whole matrix was made dense"
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(sp.csr_array, "toarray", guard)
    monkeypatch.setattr(sp.csr_array, "todense", guard)
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 1)
    with pytest.raises(AssertionError, match="made dense"):
        X.toarray()
    rows = as_rows(X, as_given, CPU)
    network = nn.Linear(9, 2)
    phase = SpectralInit(torch.zeros(700, 2), n_epochs=1, batch_size=100, learning_rate=0.1)
    losses = train(network, rows, phase, generator(), on_epoch=no_report)
    assert np.isfinite(losses).all()
    assert embed(as_given, network, X, CPU).shape == (700, 2)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 512, 700])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_embedding_equals_the_network_across_chunks(monkeypatch, container, n):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES", 1)
    X = sparse_data().toarray()[:n]
    encoder = Encoder(Standardize.of(sparse_data()), 2, (8,), "silu", generator())
    sizes = []
    encoder.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    embedding = embed(torch.Tensor.double, encoder, container(X), CPU)
    assert sum(sizes) == n
    assert len(sizes) == -(-n // 256)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(X)).numpy()
    assert embedding.dtype == torch.float32
    assert embedding.shape == (n, 2)
    np.testing.assert_allclose(embedding, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1e38, -np.inf, np.nan])
def test_an_embedding_that_is_not_finite_is_refused(value):
    network = nn.Linear(3, 2)
    nn.init.constant_(network.weight, 10.0)
    X = np.ones((4, 3))
    X[2, 1] = value
    with pytest.raises(ValueError, match=r"^X has rows for which the encoder's output is not finite"):
        embed(as_given, network, X, CPU)


def test_auto_takes_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda", 1)
    assert resolve_device("cuda") == torch.device("cuda", 1)
    assert resolve_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"^device='cuda:2' was asked for, but torch finds 2 CUDA device"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("device", ["cpu", "cpu:0", CPU])
def test_the_cpu_resolves_to_itself(device):
    assert resolve_device(device) == CPU


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99", "cuda:1000", torch.device("cuda", 3)])
def test_cuda_without_cuda_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^device='cuda.*' was asked for, but torch finds 0 CUDA device\(s\) here.$"):
        resolve_device(device)
    assert device_or_cpu(device) == CPU


def test_mps_without_mps_is_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^device='mps' was asked for, but torch finds no MPS device here.$"):
        resolve_device("mps")


@pytest.mark.parametrize("device", ["tpu", "", "gpu", "cuda:x", "cuda:-1", "meta", torch.device("meta"), "xla", "xpu"])
def test_other_devices_are_refused(device):
    message = "is not a device for this estimator; allowed are 'auto', 'cpu', 'cuda', 'cuda:<index>', 'mps' or"
    with pytest.raises(ValueError, match=f"^device='{device}' {message}"):
        resolve_device(device)
    assert device_or_cpu(device) == CPU


def globals_of_torch():
    return (
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
    )


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("raises", [True, False])
def test_settings_are_put_back(mode, raises):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with mode():
            before = globals_of_torch()
            try:
                with torch_settings(CPU, n_threads=1, seed=0):
                    assert torch.get_num_threads() == 1
                    assert torch.is_grad_enabled()
                    assert not torch.is_inference_mode_enabled()
                    drawn = torch.rand(3)
                    if raises:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                pass
            assert globals_of_torch() == before
            with torch_settings(CPU, n_threads=1, seed=0):
                assert (torch.rand(3) == drawn).all()
    finally:
        torch.set_num_threads(threads)


def test_settings_touch_neither_threads_nor_random_state_unless_asked():
    before = globals_of_torch()
    with torch_settings(CPU):
        assert globals_of_torch() == before
        torch.rand(1)
    assert globals_of_torch()[3] != before[3]


@pytest.mark.cuda
@pytest.mark.parametrize("sampler", [EdgeSampler, NeighborhoodSampler])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_captured_steps_train_as_those_that_run_one_by_one(monkeypatch, sampler, precision):
    cuda = torch.device("cuda", 0)
    weights, losses = [], []
    for is_captured in (True, False):
        if not is_captured:
            monkeypatch.setattr(torch.cuda, "CUDAGraph", unavailable)
        network = Encoder(Standardize(np.zeros(30), 1.0), 2, (32, 32), "silu", generator()).network.to(cuda)
        phase = MainEmbedding(
            sampler(random_graph(), cuda),
            EdgeCrossEntropy(1.6, 0.9, 5, 1.0),
            n_epochs=4,
            batches_per_epoch=10,
            batch_size=64,
            learning_rate=0.01,
        )
        rows, random = torch.eye(30, device=cuda), torch.Generator(cuda).manual_seed(0)
        how = {"input_noise": 0.1, "precision": precision, "on_epoch": no_report}
        with (
            nullcontext() if is_captured else pytest.warns(RuntimeWarning, match="could not be captured .* unavailable")
        ):
            losses.append(train(network, rows, phase, random, **how))
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)
    assert losses[0][-1] < losses[0][0]
    assert (weights[0] - weights[1]).norm() < 0.05 * weights[1].norm()


def unavailable():
    raise RuntimeError("unavailable")


@pytest.mark.cuda
@pytest.mark.parametrize("parameters", [{}, {"sampling": "edges"}, {"n_epochs": 60, "batches_per_epoch": 20}])
def test_both_phases_of_a_default_fit_are_captured(monkeypatch, parameters):
    replays, prepare = [], captured.CapturedEpoch._prepare

    def watched(self, batches):
        n_run = prepare(self, batches)
        replays.append(self.replay.__self__)
        return n_run

    monkeypatch.setattr(captured.CapturedEpoch, "_prepare", watched)
    ParametricUMAP(device="cuda", random_state=0, **parameters).fit(load_digits().data)
    assert [type(replay) for replay in replays] == [torch.cuda.CUDAGraph] * 2


class Waiting(nn.Linear):
    """A network that asks the host, and so cannot be captured."""

    def forward(self, x):
        return super().forward(x) if x.abs().sum().item() >= 0 else x


@pytest.mark.cuda
def test_a_network_that_waits_for_the_host_is_trained_step_by_step_and_torch_stays_usable():
    _, rows, positions = linear_problem()
    phase = SpectralInit(positions.cuda(), n_epochs=40, batch_size=50, learning_rate=0.2)
    random, stream = torch.Generator("cuda").manual_seed(0), torch.cuda.current_stream()
    with pytest.warns(RuntimeWarning, match="could not be captured"):
        losses = train(Waiting(3, 2).cuda(), rows.cuda(), phase, random, on_epoch=no_report)
    assert losses[-1] < 1e-4 * losses[0]
    assert torch.cuda.current_stream() == stream
    torch.manual_seed(0)
    assert torch.isfinite(torch.randn(1000, device="cuda").sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(nn.Linear(3, 2).cuda(), rows.cuda(), phase, random, on_epoch=no_report)


@pytest.mark.cuda
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_rows_too_large_for_the_gpu_come_from_the_host(monkeypatch, container):
    X = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    monkeypatch.setattr(rows_module, "_room", lambda device: 0)
    rows = as_rows(container(X), as_given, torch.device("cuda"))
    indices = [torch.randint(300, (40,), generator=generator(seed)) for seed in range(20)]
    for index, batch in zip(indices, rows.batches(indices), strict=True):
        assert batch.device.type == "cuda"
        assert (batch.cpu() == torch.from_numpy(X)[index]).all()
