"""Rows on their way to a device: the same rows, whatever holds them, though buffers are used again."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pretended import META

from parametric_umap.containers import as_tensor
from parametric_umap.engine import rows as rows_module
from parametric_umap.engine.rows import HostRows, chunks_on, placed_rows
from parametric_umap.engine.staging import Staging, copy_into

CPU = torch.device("cpu")
X = np.random.default_rng(0).normal(size=(1000, 6))


def read_only(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


CONTAINERS = {
    "float64": lambda rows: rows.copy(),
    "float32": lambda rows: rows.astype(np.float32),
    "read-only": read_only,
    "by columns": np.asfortranarray,
    "turned round": lambda rows: rows[::-1].copy()[::-1],
    "every second": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "sparse": sp.csr_array,
    "sparse float32": lambda rows: sp.csr_matrix(rows.astype(np.float32)),
}


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("container", CONTAINERS)
def test_rows_that_were_sent_stay_while_the_buffers_are_filled_again(container):
    given = CONTAINERS[container](X)
    staging = Staging(given, 300, CPU)
    sent = []
    for start in range(0, 1000, 300):
        part = given[start : start + 300]
        sent.append(staging.send(part.shape[0], lambda rows, part=part: copy_into(rows, part), lambda rows: rows))
    received = torch.cat([staging.received(rows) for rows in sent])
    np.testing.assert_array_equal(received, X.astype(given.dtype))


def test_what_is_prepared_on_the_way_is_what_arrives():
    staging = Staging(X, 10, CPU)
    sent = staging.send(10, lambda rows: copy_into(rows, X[:10]), lambda rows: 2 * rows)
    np.testing.assert_array_equal(staging.received(sent), 2 * X[:10])


def test_a_view_shares_the_memory_of_an_array_that_may_not_be_written():
    rows = read_only(X)
    view = as_tensor(rows)
    assert view.data_ptr() == rows.__array_interface__["data"][0]
    np.testing.assert_array_equal(view, rows)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_device_is_sent_all_rows_in_their_order(monkeypatch, container):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES_ON_A_DEVICE", 1)  # the least number of rows
    given, filled = CONTAINERS[container](X), []
    monkeypatch.setattr(rows_module, "copy_into", lambda rows, X: copy_into(rows, X) or filled.append(rows.clone()))
    chunks = [(chunk, x.shape, x.device) for chunk, x in chunks_on(given, META)]
    assert [chunk.start for chunk, _, _ in chunks] == [0, 256, 512, 768]
    assert sum(shape[0] for _, shape, _ in chunks) == 1000
    assert {device for _, _, device in chunks} == {META}
    np.testing.assert_array_equal(torch.cat(filled), X.astype(given.dtype))


@pytest.mark.parametrize("container", CONTAINERS)
def test_batches_of_the_host_are_gathered_by_their_index(monkeypatch, container):
    rows = HostRows(CONTAINERS[container](X), 6, torch.Tensor.float, META)
    indices = [torch.randint(1000, (n,), generator=torch.Generator().manual_seed(n)) for n in (40, 7, 40)]
    for index in indices:
        gathered = torch.empty(len(index), 6, dtype=torch.float32 if rows.X.dtype == np.float32 else torch.float64)
        rows._gather(index, gathered)
        np.testing.assert_array_equal(gathered, X.astype(rows.X.dtype)[index])
    assert [batch.shape for batch in rows.batches(indices)] == [(40, 6), (7, 6), (40, 6)]


def test_rows_go_up_once_where_they_fit(monkeypatch):
    assert placed_rows(X, CPU) is X
    assert placed_rows(sp.csr_array(X), META).shape == (1000, 6)
    placed = placed_rows(X, META)
    assert placed.device == META and placed.dtype == torch.float64 and placed.shape == (1000, 6)
    assert placed_rows(placed, META) is placed
    monkeypatch.setattr(rows_module, "_room", lambda device: X.nbytes - 1)
    assert placed_rows(X, META) is X


@pytest.mark.cuda
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_gpu_gets_the_rows_by_any_way(monkeypatch, container):
    monkeypatch.setattr(rows_module, "CHUNK_BYTES_ON_A_DEVICE", 1)
    cuda, given = torch.device("cuda", 0), CONTAINERS[container](X)
    expected = X.astype(given.dtype)
    for _ in range(5):  # a buffer that were filled too soon would be seen by chance only
        np.testing.assert_array_equal(torch.cat([x.clone() for _, x in chunks_on(given, cuda)]).cpu(), expected)
    rows = HostRows(given, 6, torch.Tensor.float, cuda)
    indices = [torch.randint(1000, (500,), generator=torch.Generator().manual_seed(seed)) for seed in range(30)]
    for index, batch in zip(indices, rows.batches(indices), strict=True):
        np.testing.assert_array_equal(batch.cpu(), expected[index].astype(np.float32))
