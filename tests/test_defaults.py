"""What follows the data by default: waves, guides, noise, whole batches; and what each of them is for."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_s_curve

from parametric_umap import ParametricUMAP, defaults, plan
from parametric_umap.encoder import Encoder, Guided, Standardize
from parametric_umap.engine import WholeSampler
from parametric_umap.graph import fuzzy_simplicial_set
from parametric_umap.initialization import starting_positions
from parametric_umap.metrics import neighborhood_recall
from parametric_umap.neighbors import nearest_neighbors

QUICK = {"n_epochs": 2, "random_state": 0}
SURFACE = make_s_curve(3000, noise=0.05, random_state=0)[0]
FOLDED = np.random.default_rng(0).uniform(size=(9000, 5)) @ np.random.default_rng(1).normal(size=(5, 8))
DIGITS = load_digits().data


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- Waves ----


def test_dense_rows_are_seen_by_waves():
    assert ParametricUMAP(**QUICK).fit(FOLDED).encoder_.network.waves.shape == (8, 32)
    assert ParametricUMAP(**QUICK).fit(SURFACE).encoder_.network.waves.shape == (3, 32)
    assert ParametricUMAP(**QUICK).fit(FOLDED[:500]).encoder_.network.waves is None
    assert ParametricUMAP(**QUICK).fit(DIGITS).encoder_.network.waves is None
    assert ParametricUMAP(n_waves=0, **QUICK).fit(FOLDED).encoder_.network.waves is None
    assert ParametricUMAP(n_waves=5, **QUICK).fit(DIGITS).encoder_.network.waves.shape == (64, 5)


def test_rows_of_which_most_have_copies_have_no_waves():
    copies = np.repeat(FOLDED[:1500], 2, axis=0)
    assert ParametricUMAP(n_waves=64, **QUICK).fit(copies).encoder_.network.waves is None


def test_a_network_with_waves_is_its_formula():
    network = Encoder(Standardize(np.zeros(3), 1.0), 2, (8, 4), "tanh", generator()).network
    network.see_waves(6, 0.1, generator(1))
    x = torch.randn(10, 3, generator=generator(2))
    angles = x.double() @ network.waves.double()
    hidden = torch.cat([x.double(), angles.sin(), angles.cos()], dim=1)
    for layer in (network.body[0], network.body[2]):
        hidden = torch.tanh(hidden @ layer.weight.double().T + layer.bias.double())
    expected = hidden @ network.head.weight.double().T + network.head.bias.double()
    torch.testing.assert_close(network(x).double(), expected, rtol=1e-5, atol=1e-5)
    # From a row to its nearest neighbour, 0.1 in each of 3 features away, an angle turns by 0.4 or so at most.
    turned = 0.1 * network.waves.norm(dim=0)
    assert turned.max() < 4 * 0.4


def test_waves_keep_more_neighbours_of_rows_that_cannot_be_laid_flat():
    rows = FOLDED[:3000]
    recall = [
        neighborhood_recall(rows, ParametricUMAP(n_waves=n, random_state=0).fit(rows).embedding_) for n in (0, None)
    ]
    assert recall[1] > recall[0] + 0.01


def test_waves_are_saved_exported_and_learned_on(tmp_path):
    umap = ParametricUMAP(n_waves=32, **QUICK).fit(SURFACE)
    umap.save(tmp_path / "umap")
    loaded = ParametricUMAP.load(tmp_path / "umap")
    np.testing.assert_array_equal(loaded.transform(SURFACE), umap.embedding_)
    assert np.isfinite(umap.feature_attributions(SURFACE[:5]).jacobian).all()
    before = umap.encoder_.network.waves.clone()
    umap.partial_fit(SURFACE[:100] + 0.01)
    assert torch.equal(umap.encoder_.network.waves, before)


def test_waves_go_into_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    umap = ParametricUMAP(n_waves=32, **QUICK).fit(SURFACE)
    umap.to_onnx(tmp_path / "umap.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "umap.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: SURFACE.astype(np.float32)})
    np.testing.assert_allclose(found, umap.transform(SURFACE.astype(np.float32)), atol=1e-2)


# ---- Guides ----


def test_guides_are_learned_first_and_dropped(monkeypatch):
    seen = []
    of_network = plan.SpectralInit.network_of

    def spied(phase, network):
        seen.append(of_network(phase, network))
        return seen[-1]

    monkeypatch.setattr(plan.SpectralInit, "network_of", spied)
    umap = ParametricUMAP(n_guides=7, **QUICK).fit(DIGITS)
    assert isinstance(seen[0], Guided)
    assert seen[0].guides.out_features == 7
    assert umap.embedding_.shape == umap.init_embedding_.shape == (len(DIGITS), 2)
    assert not any("guides" in name for name in umap.encoder_.state_dict())


def test_guides_leave_the_positions_of_the_map_as_they_are():
    graph = fuzzy_simplicial_set(*nearest_neighbors(DIGITS, 10))
    how = {"scale": 1.0, "random_state": 0}
    graph = plan.Graph.of(graph, torch.device("cpu"))
    alone = starting_positions("spectral", DIGITS, graph, 2, **how)
    guided = starting_positions("spectral", DIGITS, graph, 2, n_guides=6, **how)
    assert guided.shape == (len(DIGITS), 8)
    cosines = torch.nn.functional.cosine_similarity(guided[:, :2], alone, dim=0).abs()
    assert (cosines > 0.999).all()
    more = starting_positions("spectral", DIGITS, graph, 8, **how)
    cosines = torch.nn.functional.cosine_similarity(guided, more, dim=0).abs()
    assert (cosines > 0.999).all()


def test_guides_of_a_graph_in_parts_leave_the_positions_of_the_map_as_they_are():
    far = np.vstack([DIGITS[:60], DIGITS[:60] + 1e3, DIGITS[:60] - 1e3])
    graph = plan.Graph.of(fuzzy_simplicial_set(*nearest_neighbors(far, 10)), torch.device("cpu"))
    how = {"scale": 1.0, "random_state": 0}
    alone = starting_positions("spectral", far, graph, 2, **how)
    guided = starting_positions("spectral", far, graph, 2, n_guides=6, **how)
    np.testing.assert_allclose(guided[:, :2], alone, atol=1e-5)


@pytest.mark.parametrize("init", ["pca", "random", DIGITS[:300, 20:22]])
def test_without_spectral_positions_there_are_no_guides(init):
    few = DIGITS[:300]
    maps = [ParametricUMAP(init=init, n_guides=n, **QUICK).fit(few).embedding_ for n in (0, 18)]
    np.testing.assert_array_equal(*maps)


def test_there_are_no_more_guides_than_rows():
    assert np.isfinite(ParametricUMAP(n_guides=2**31 - 1, n_neighbors=5, **QUICK).fit(DIGITS[:20]).embedding_).all()


# ---- Rules ----


@pytest.mark.parametrize(
    ("gap", "n_samples", "width", "expected"),
    [(0.5, 5000, 10, 0.5), (0.5, 5000, 200, 0.75), (0.1, 5000, 10, 0.25), (0.1, 1000, 10, 0.5)],
)
def test_noise_is_longer_for_wide_rows_and_shorter_for_dense_ones(gap, n_samples, width, expected):
    assert defaults.input_noise(gap, n_samples, width) == expected


def test_more_rows_have_no_fewer_batches_and_dense_ones_more():
    numbers = [100, 500, 501, 1000, 5000, 10_000, 60_000, 10**6, 10**8]
    batches = [defaults.batches_per_epoch(n, "neighborhoods", True) for n in numbers]
    assert batches == sorted(batches)
    assert batches[-1] == 100
    of_dense, of_others = (defaults.batches_per_epoch(5000, "neighborhoods", True, gap) for gap in (0.1, 0.5))
    assert of_dense > of_others


def test_a_module_of_your_own_is_learned_on_whatever_the_parameters_say_by_then():
    umap = ParametricUMAP(encoder=torch.nn.Linear, **QUICK).fit(DIGITS[:300])
    umap.set_params(encoder=None).partial_fit(DIGITS[300:400])
    assert isinstance(umap.encoder_, torch.nn.Linear)
    assert np.isfinite(umap.embedding_).all()


def test_few_rows_are_one_batch_of_the_whole_graph():
    graph = fuzzy_simplicial_set(*nearest_neighbors(DIGITS[:50], 10))
    sampler = WholeSampler(graph, torch.device("cpu"))
    members, weights = sampler.draw(3, 1, generator())
    assert members.shape == (3, 1, 50)
    assert (members == torch.arange(50)).all()
    for batch in weights[:, 0]:
        np.testing.assert_array_equal(batch, graph.toarray())


def test_whole_batches_are_taken_up_to_some_rows(monkeypatch):
    made = []

    class Spied(WholeSampler):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(plan, "WholeSampler", Spied)
    ParametricUMAP(**QUICK).fit(DIGITS[:500])
    assert len(made) == 1
    ParametricUMAP(**QUICK).fit(DIGITS[:501])
    ParametricUMAP(sampling="edges", **QUICK).fit(DIGITS[:500])
    assert len(made) == 1
