"""Fits of several processes, which are real ones here, against that of one process that has all rows."""

import os
import pickle
import signal

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from processes import run_together
from sklearn.datasets import load_digits

from parametric_umap import ParametricUMAP
from parametric_umap.distributed import neighbors as neighbors_module
from parametric_umap.distributed.group import Group
from parametric_umap.distributed.shares import owners, stretches
from parametric_umap.engine import TrainingTogether
from parametric_umap.metrics import neighborhood_recall, trustworthiness
from parametric_umap.progress import Progress

X = load_digits().data
X = (X + np.random.default_rng(1).normal(scale=0.05, size=X.shape)).astype(np.float32)  # no two are as far from a third
QUICK = {"n_epochs": 2, "batches_per_epoch": 5, "init_epochs": 2}


def fit_share(rank, bounds, rows=X, **how):
    """What a process has after a fit of its rows."""
    own = rows[bounds[rank] : bounds[rank + 1]]
    umap = ParametricUMAP(distributed=True, n_jobs=1, random_state=0, **how).fit(own)
    return {
        "graph": umap.graph_,
        "embedding": umap.embedding_,
        "of_others": umap.transform(rows[:40]),
        "losses": umap.loss_curve_,
        "n_samples": umap.n_samples_seen_,
        "weights": torch.cat([value.flatten() for value in umap.encoder_.state_dict().values()]).numpy(),
        "again": np.array_equal(umap.transform(own), umap.embedding_) if len(own) else len(umap.embedding_) == 0,
    }


def fits_of_two(rank):
    """A fit; one that searches few cells of many, as with more rows; and what is refused."""
    results = {"whole": fit_share(rank, [0, 1400, 1797])}
    neighbors_module.EXACT_ROWS, neighbors_module.AROUND = 0, 3
    results["near"] = fit_share(rank, [0, 3500, 6000], many_rows(), **QUICK)
    results["refused"] = refusals(rank)
    results["stopped"] = stopped_by_the_second(rank)
    return results


def stopped_by_the_second(rank):
    """How many epochs each phase has, if a callback of one process ends it after the first."""
    epoch_of = Progress.epoch

    def epoch(self, phase, epoch, loss):
        epoch_of(self, phase, epoch, loss)
        return rank == 1 and epoch == 2

    Progress.epoch = epoch
    how = {**QUICK, "n_epochs": 4, "init_epochs": 4}
    losses = fit_share(rank, [0, 150, 300], **how)["losses"]
    return {name: len(curve) for name, curve in losses.items()}


def many_rows():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6000, 3)) @ rng.normal(size=(3, 12)) + 0.1 * rng.normal(size=(6000, 12))
    return rows.astype(np.float32)


def refusals(rank):
    rows = X[:100].copy()
    rows[3, 3] = np.nan if rank == 1 else 0
    umap, errors = ParametricUMAP(distributed=True, **QUICK), []
    for given, how in ((rows, {}), (X[:100, : 60 + rank], {}), (X[:100], {"densmap": True}), (X[:rank], {})):
        try:
            umap.set_params(densmap=False).set_params(**how).fit(given)
        except ValueError as error:
            errors.append(str(error))
    return errors, hasattr(umap, "encoder_")


def fits_of_three(rank, folder):
    """Two fits of the same few rows, of which the first process has none; then the second process dies in one."""
    for number in range(2):
        result = fit_share(rank, [0, 0, 3, 300], **QUICK)
        (folder / f"{number} {rank}").write_bytes(pickle.dumps(result))
    run_epoch = TrainingTogether.run_epoch

    def dies(self):
        if rank == 1 and self.epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return run_epoch(self)

    TrainingTogether.run_epoch = dies
    return fit_share(rank, [0, 100, 200, 300])


def whole(results, name):
    parts = [result[name] for result in results]
    return sp.vstack(parts).tocsr() if sp.issparse(parts[0]) else np.concatenate(parts)


@pytest.fixture(scope="module")
def of_two():
    results = run_together(fits_of_two, 2)
    assert not any(isinstance(result, str) for result in results), next(r for r in results if isinstance(r, str))
    return results


@pytest.fixture(scope="module")
def two(of_two):
    """Processes with 1,400 and 397 rows."""
    return [result["whole"] for result in of_two]


@pytest.fixture(scope="module")
def alone():
    return ParametricUMAP(random_state=0, n_jobs=1).fit(X)


def test_the_graph_of_two_processes_is_that_of_one(two, alone):
    graph = whole(two, "graph")
    assert graph.shape == alone.graph_.shape and (graph != graph.T).nnz == 0
    assert abs(graph - alone.graph_).max() < 1e-5


def test_two_processes_have_the_same_model_and_each_its_own_rows(two):
    first, second = two
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_array_equal(first["of_others"], second["of_others"])
    assert [len(result["embedding"]) for result in two] == [1400, 397]
    assert first["again"] and second["again"]
    assert first["n_samples"] == second["n_samples"] == 1797
    for name in ("spectral_init", "main_embedding"):
        np.testing.assert_array_equal(first["losses"][name], second["losses"][name])


def test_two_processes_learn_as_well_as_one(two, alone):
    losses, of_one = (np.array(curve["main_embedding"]) for curve in (two[0]["losses"], alone.loss_curve_))
    np.testing.assert_allclose(losses[5:], of_one[5:], rtol=0.1)
    together = whole(two, "embedding")
    assert trustworthiness(X, together) > trustworthiness(X, alone.embedding_) - 0.005
    assert neighborhood_recall(X, together) > neighborhood_recall(X, alone.embedding_) - 0.015


def test_many_cells_are_searched_near_by_only(of_two):
    graph = whole([result["near"] for result in of_two], "graph")
    expected = ParametricUMAP(random_state=0, **QUICK).fit(many_rows()).graph_
    assert (graph != graph.T).nnz == 0
    assert graph.minimum(expected).sum() / expected.sum() > 0.97


def test_what_one_process_refuses_no_other_waits_for(of_two):
    (of_first, fitted), (of_second, _) = (result["refused"] for result in of_two)
    assert not fitted
    assert "process 1 of 2 refused" in of_first[0] and "NaN" in of_second[0]
    assert "rows of [60, 61] features" in of_first[1] and of_first[1] == of_second[1]
    assert "densmap=True" in of_first[2]
    assert "together have 1 rows" in of_first[3]


def test_a_callback_of_one_process_ends_the_phase_of_all(of_two):
    assert [result["stopped"] for result in of_two] == 2 * [{"spectral_init": 2, "main_embedding": 2}]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_few_rows_or_none_repeat_their_bits_and_one_that_dies_ends_the_others_with_its_name(tmp_path):
    ended = run_together(fits_of_three, 3, tmp_path)
    first, second = ([pickle.loads((tmp_path / f"{n} {rank}").read_bytes()) for rank in range(3)] for n in range(2))
    assert [len(result["embedding"]) for result in first] == [0, 3, 297]
    assert all(result["again"] for result in first)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["weights"], other["weights"])
    umap = ParametricUMAP(random_state=0, **QUICK).fit(X[:300])
    assert abs(whole(first, "graph") - umap.graph_).max() < 1e-5
    assert ended[1] is None
    for rank in (0, 2):
        assert f"process {rank} of 3 cannot go on with the fit: process 1 does not answer." in ended[rank]


def test_there_must_be_a_group():
    with pytest.raises(ValueError, match=r"needs a process group: start the processes by torchrun"):
        ParametricUMAP(distributed=True).fit(X[:100])
    with pytest.raises(ValueError, match="process group"):
        Group()


@pytest.mark.parametrize(
    ("sizes", "n_owners", "expected"),
    [
        ([5, 5, 5, 5], 2, [0, 0, 1, 1]),
        ([100, 1, 1], 3, [0, 1, 2]),
        ([1, 1, 100], 3, [0, 1, 2]),
        ([0, 7, 0, 7, 0], 2, [0, 0, 0, 1, 1]),
        ([3, 3], 4, [0, 1]),
    ],
)
def test_every_process_owns_about_as_many_rows(sizes, n_owners, expected):
    assert owners(torch.tensor(sizes), n_owners).tolist() == expected


def test_stretches_follow_one_another():
    assert stretches(torch.tensor([4, 0, 9]), torch.tensor([3, 0, 2])).tolist() == [4, 5, 6, 9, 10]
