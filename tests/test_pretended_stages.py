"""The stages before and after training on a pretended accelerator: no mixed devices, no copies, and few known waits.

What follows of an answer of the device, such as a loop until nothing changes, is entered once. Spectral positions and
the search in cells are not here: torch has neither eigenvectors nor counts on its `meta` device.
"""

import numpy as np
import pytest
import torch
from pretended import META, known_waits

from parametric_umap.encoder import Encoder, Standardize
from parametric_umap.engine import EdgeSampler, NeighborhoodSampler, as_rows, embed
from parametric_umap.graph import Graph, fuzzy_graph
from parametric_umap.moments import moments_of
from parametric_umap.neighbors import Neighbors, exact, search
from parametric_umap.novelty import novelty, reference_distance
from parametric_umap.spectral import components, eigenmap

N, K = 300, 15


def rows(width=20):
    return torch.empty(N, width, device=META)


def neighbors():
    return Neighbors(torch.empty(N, K, dtype=torch.int32, device=META), torch.empty(N, K, device=META))


def graph(n_stored=900):
    starts = torch.empty(N + 1, dtype=torch.int64, device=META)
    return Graph(starts, torch.empty(n_stored, dtype=torch.int32, device=META), torch.empty(n_stored, device=META))


def test_moments_wait_three_times():
    with known_waits(False, [1.0, 1.0, 1.0]) as waits:
        moments = moments_of(rows())
    assert moments.mean.device == META
    assert waits == ["cpu", "__bool__", "tolist"]  # what is usual, whether rows are far, and the moments


@pytest.mark.parametrize("in_half", [False, True])
def test_an_exact_search_waits_once_in_each_precision(monkeypatch, in_half):
    precisions = [*([torch.float16] if in_half else []), torch.float32, torch.float64]
    monkeypatch.setattr(exact, "_precisions", lambda device: precisions)
    monkeypatch.setattr(exact, "_half_products", lambda queries, points: (queries @ points.T).float())
    with known_waits() as waits:
        indices, distances = exact.exact_euclidean(rows(), K)
        found = search._self_first(indices, distances)
    assert found.device == META and found.indices.shape == (N, K)
    assert waits == ["nonzero.default"] * len(precisions)


def test_the_graph_waits_once_for_its_size_and_a_few_times_for_the_kernel_widths():
    with known_waits() as waits:
        of_neighbors = fuzzy_graph(neighbors(), local_connectivity=1.5, set_op_mix_ratio=0.5)
    assert of_neighbors.device == META
    assert waits == ["nonzero.default"] * 5


@pytest.mark.parametrize(("sampler", "expected"), [(EdgeSampler, 0), (NeighborhoodSampler, 3)])
def test_the_samplers_tables_wait_for_their_widths_alone(sampler, expected):
    with known_waits(15, 12) as waits:
        sampler(graph(), META)
    assert len(waits) == expected


def test_components_wait_once_in_each_round():
    with known_waits(False, False, True) as waits:
        first = components.first_nodes(graph())
    assert first.shape == (N,)
    assert waits == ["equal"] * 3


def test_a_product_of_the_graph_does_not_wait():
    with known_waits() as waits:
        root_degree = eigenmap._sums_of_rows(graph().weights.double(), graph().starts).sqrt()
        walk = eigenmap._normalized(graph(), root_degree)
        product = eigenmap._product(walk, torch.empty(N, 11, dtype=torch.float64, device=META))
    assert product.shape == (N, 11)
    assert not waits


def test_rows_are_mapped_with_one_wait_and_novelty_of_references_takes_one(pretended):
    encoder = Encoder(Standardize(np.zeros(20), 1.0), 2, (8,), "silu", torch.Generator()).to(META)
    with known_waits(True) as waits:
        prepared = as_rows(rows(), encoder.standardize, META)
        embedding = embed(encoder.standardize, encoder.network, rows(), META)
        distance = reference_distance(encoder.standardize, rows(), META)
        scores = novelty(encoder.standardize, rows(), rows(), distance, META)
    assert {part.device for part in (prepared, embedding, scores)} == {META}
    assert waits == ["__bool__", "cpu"]
