"""scikit-learn's callbacks see a fit's stages, phases and epochs, and may stop it; nothing is left of a stopped fit."""

import contextlib
import itertools
import pickle
import queue
import re
import signal
import subprocess
import threading
import time
from collections import deque

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from children import killed_in_time, script
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from parametric_umap import ParametricUMAP, encoder, fitted
from parametric_umap.neighbors import pairs

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")

X, y = (part[::3] for part in load_iris(return_X_y=True))
N_INIT, N_MAIN = 2, 3
QUICK = {
    "n_neighbors": 5,
    "hidden_layer_sizes": (8,),
    "init_epochs": N_INIT,
    "n_epochs": N_MAIN,
    "batches_per_epoch": 4,
    "batch_size": 32,
    "random_state": 0,
}


class Recorder:
    """Writes down the tasks, in the order in which they begin and end, with the estimator that the others may ask for.

    Parameters
    ----------
    act : callable, default=None
        Is called with "begin" or "end" and the names of the task and of those that it is part of; what it returns at an
        end is returned to the fit.
    """

    max_propagation_depth = None

    def __init__(self, act=None):
        self.act = act
        self.events, self.contexts, self.set_up = [], [], 0

    def setup(self, estimator, context):
        self.set_up += 1

    def on_fit_task_begin(self, estimator, context):
        self.contexts.append(context)
        return self._note("begin", context)

    def on_fit_task_end(self, estimator, context):
        return self._note("end", context)

    def teardown(self, estimator, context):
        self.set_up -= 1

    def _note(self, what, context):
        names = []
        while context is not None:
            names, context = [context.task_name, *names], context.parent
        self.events.append((what, *names))
        return self.act(self.events[-1], self.events.count(self.events[-1])) if self.act else None


class Asking(Recorder):
    """Also asks for the estimator at the end of every task."""

    def __init__(self):
        super().__init__()
        self.fitted = {}

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self._note("end", context)
        self.fitted.setdefault(context.task_name, []).append(fitted_estimator)


def raise_at(event, number, error):
    def act(told, times):
        if told == event and times == number:
            raise error

    return act


def states_equal(one, other):
    """Whether two fitted attributes hold the same values."""
    if isinstance(one, torch.nn.Module):
        return not one.training and states_equal(one.state_dict(), other.state_dict())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(states_equal(one[name], other[name]) for name in one)
    if sp.issparse(one):
        return abs(one - other).max() == 0
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return np.array_equal(one, other)


FIRST = ["neighbors", "graph"]
LAST = ["main_embedding", "embedding"]


def once(parameters, recorder):
    ParametricUMAP(**QUICK | parameters).set_callbacks(recorder).fit(X)


def again(parameters, recorder):
    ParametricUMAP(**QUICK | parameters).fit(X).set_callbacks(recorder).fit(X)


def added_to(parameters, recorder):
    ParametricUMAP(**QUICK | parameters).fit(X).set_callbacks(recorder).partial_fit(X[:20] + 0.1)


@pytest.mark.parametrize(
    ("run", "parameters", "stages"),
    [
        (once, {}, [*FIRST, "initial positions", "spectral_init", *LAST]),
        (once, {"init": "pca", "decoder": True}, [*FIRST, "initial positions", "spectral_init", *LAST]),
        (once, {"init": X[:, :2]}, [*FIRST, "spectral_init", *LAST]),
        (once, {"init": "random", "densmap": True}, [*FIRST, *LAST]),
        (again, {"warm_start": True}, [*FIRST, *LAST]),
        (again, {}, [*FIRST, "initial positions", "spectral_init", *LAST]),
        (added_to, {}, [*FIRST, *LAST]),
    ],
)
def test_a_fit_is_a_task_of_stages_and_a_phase_one_of_epochs(run, parameters, stages):
    recorder = Recorder()
    run(parameters, recorder)
    root = "partial_fit" if run is added_to else "fit"
    epochs = {"spectral_init": N_INIT, "main_embedding": N_MAIN}
    expected = [("begin", root)]
    for stage in stages:
        epoch = [(what, root, stage, "epoch") for what in ("begin", "end")]
        expected += [("begin", root, stage), *(epochs.get(stage, 0) * epoch), ("end", root, stage)]
    assert recorder.events == [*expected, ("end", root)]
    for context in recorder.contexts:
        assert context.max_subtasks == len(context._children_map)
    assert recorder.set_up == 0


def bars(printed):
    """The last state of every bar, for which there may be no room: its description and its percentage."""
    return re.findall(r"(\w+ - [\w-]+(?: \| \w+ - \w+)?(?: #\d)?) +(?:━+ +)?(\d+)%", printed)


def test_the_progress_bar_shows_the_phases_of_a_fit(capsys):
    pytest.importorskip("rich")
    ParametricUMAP(**QUICK).set_callbacks(callback.ProgressBar()).fit(X)
    shown = dict(bars(capsys.readouterr().out))
    names = ("fit", "spectral_init #3", "main_embedding #4")
    assert shown == {f"ParametricUMAP - {name}": "100" for name in names}


def test_the_progress_bar_shows_every_fit_of_a_search_of_pipelines_and_of_one_in_two_workers(capsys):
    pytest.importorskip("rich")
    pipeline = make_pipeline(StandardScaler(), ParametricUMAP(**QUICK))
    for estimator, grid, n_jobs in (
        (pipeline, {"parametricumap__n_neighbors": [4, 5]}, None),
        (ParametricUMAP(**QUICK), {"n_neighbors": [4, 5]}, 2),
    ):
        search = GridSearchCV(estimator, grid, cv=2, n_jobs=n_jobs)
        search.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
        shown = bars(capsys.readouterr().out)
        assert {percentage for _, percentage in shown} == {"100"}
        described = [description for description, _ in shown]
        for phase in ("spectral_init #3", "main_embedding #4"):
            assert described.count(f"ParametricUMAP - {phase}") == 5
        assert sum(" | ParametricUMAP - fit" in description for description in described) == 5


def test_the_scoring_monitor_follows_a_score_over_the_epochs():
    monitor = callback.ScoringMonitor(scoring={"trustworthiness": ParametricUMAP.score})
    umap = ParametricUMAP(**QUICK | {"n_epochs": 20}).set_callbacks(monitor).fit(X, y)
    scores = {row["task_id_path"]: row["trustworthiness"] for row in monitor.get_logs().data}
    phases = {(0, 3): N_INIT, (0, 4): 20}
    assert scores.keys() == {(0,), *phases, *((*phase, epoch) for phase in phases for epoch in range(phases[phase]))}
    assert scores[0, 3, 0] < scores[0, 4, 19] - 0.05  # from the first epoch to the last
    assert scores[0, 4, 19] == scores[0, 4] == scores[0,] == umap.score(X)


def test_the_scoring_monitor_takes_frames_in_a_pipeline_without_a_warning(recwarn):
    pd = pytest.importorskip("pandas")
    monitor = callback.ScoringMonitor(scoring={"n": lambda umap, X, y: len(umap.transform(X))})
    umap = ParametricUMAP(**QUICK).set_callbacks(monitor)
    scaler = StandardScaler().set_output(transform="pandas")
    make_pipeline(scaler, umap).fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert {row["n"] for row in monitor.get_logs().data} == {len(X)}
    assert not [warning for warning in recwarn if "feature names" in str(warning.message)]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"decoder": True, "reconstruction_validation": 0.2, "densmap": True},
        {"encoder": torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2))},
    ],
)
def test_the_estimator_of_an_epoch_is_that_of_a_fit_that_stops_there(parameters):
    parameters = QUICK | parameters
    asking = Asking()
    whole = ParametricUMAP(**parameters).fit(X)
    asked = ParametricUMAP(**parameters).fit(X[:30]).set_callbacks(asking).fit(X)
    np.testing.assert_array_equal(asked.embedding_, whole.embedding_)  # to be asked changes nothing

    event = ("end", "fit", "main_embedding", "epoch")
    stopper = Recorder(lambda told, times: told == event and times == 2)
    stopped = ParametricUMAP(**parameters).set_callbacks(stopper).fit(X)
    assert stopper.events.count(event) == 2 and len(stopped.loss_curve_["main_embedding"]) == 2
    then = asking.fitted["epoch"][N_INIT + 1]
    assert states_equal(*({k: v for k, v in vars(e).items() if k.endswith("_")} for e in (then, stopped)))
    np.testing.assert_array_equal(then.transform(X), stopped.embedding_)
    np.testing.assert_array_equal(asking.fitted["fit"][0].transform(X), whole.embedding_)
    assert asking.fitted["graph"] == [None]


def test_nothing_is_copied_for_callbacks_that_do_not_ask(monkeypatch):
    copies = []
    monkeypatch.setattr(fitted, "deepcopy", lambda modules: copies.append(modules))
    ParametricUMAP(**QUICK).set_callbacks(Recorder()).fit(X)
    assert not copies


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("event", "number"),
    [
        (("begin", "fit"), 1),
        (("end", "fit", "neighbors"), 1),
        (("begin", "fit", "main_embedding"), 1),
        (("begin", "fit", "main_embedding", "epoch"), 2),
        (("end", "fit", "main_embedding", "epoch"), 2),
        (("end", "fit", "embedding"), 1),
        (("end", "fit"), 1),
    ],
)
def test_a_callback_that_raises_stops_the_fit_and_leaves_no_trace(event, number, error):
    umap = ParametricUMAP(n_jobs=1, encoder=torch.nn.Linear(4, 2), decoder=torch.nn.Linear(2, 4), **QUICK).fit(X)
    recorder = Recorder(raise_at(event, number, error))
    umap.set_callbacks(recorder)
    before, threads = vars(umap).copy(), set(threading.enumerate())
    random_state = torch.get_rng_state()
    with pytest.raises(error):
        umap.fit(X[:40])
    assert recorder.events[-1] == event and recorder.set_up == 0
    assert vars(umap).keys() == before.keys() and all(vars(umap)[name] is before[name] for name in before)
    assert torch.equal(torch.get_rng_state(), random_state) and torch.get_num_threads() == 2
    assert set(threading.enumerate()) == threads
    np.testing.assert_array_equal(umap.set_callbacks().transform(X), umap.embedding_)


def test_a_step_that_is_interrupted_leaves_no_thread_even_while_its_traceback_is_kept():
    class Interrupted(torch.nn.Linear):
        def forward(self, x):
            if self.training and threading.active_count() > n_threads:  # rows of the next batch are being read
                raise KeyboardInterrupt
            return super().forward(x)

    rows = sp.random_array((60, 400), density=0.1, format="csr", rng=np.random.default_rng(0))
    umap = ParametricUMAP(encoder=Interrupted(400, 2), init_batch_size=20, **QUICK)
    n_threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt) as kept:
        umap.fit(rows)
    assert kept.traceback and threading.active_count() == n_threads
    assert not hasattr(umap, "encoder_")


def test_a_search_that_is_stopped_leaves_no_thread(monkeypatch):
    blocks = itertools.count()

    def stopping(distances, *_):
        if next(blocks) == 0:
            raise KeyboardInterrupt
        threading.Event().wait(0.2)
        return distances

    monkeypatch.setattr(pairs, "BLOCK_BYTES", 4 * len(X))
    monkeypatch.setattr(pairs, "zero_nan_of_equal_rows", stopping)
    n_threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        ParametricUMAP(metric="canberra", n_jobs=2, **QUICK).fit(X)
    assert next(blocks) < len(X) / 2 and threading.active_count() == n_threads


def test_a_copy_of_an_estimator_keeps_its_callbacks_and_a_fit_adds_nothing_else():
    monitor = callback.ScoringMonitor(scoring={"trustworthiness": ParametricUMAP.score})
    umap = ParametricUMAP(**QUICK).set_callbacks(monitor).fit(X)
    assert vars(umap).keys() - vars(ParametricUMAP(**QUICK).fit(X)).keys() == {"_skl_callbacks"}
    assert clone(umap)._skl_callbacks == [monitor]
    loaded = pickle.loads(pickle.dumps(umap))
    np.testing.assert_array_equal(loaded.transform(X), umap.embedding_)
    assert isinstance(loaded._skl_callbacks[0], callback.ScoringMonitor)


SHOWN = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


class Listened:
    """Sends the tasks to a thread, as scikit-learn's bar does; one of the sends is interrupted where it does most harm.

    ``Condition.notify`` releases the lock of a thread that waits, and takes it off its list. Interrupted in between, it
    will release that lock the next time, too, and the thread that waits by then waits for ever.
    """

    max_propagation_depth = None

    class Waiters(deque):
        def remove(self, waiter):
            signal.raise_signal(signal.SIGINT)
            super().remove(waiter)

    def __init__(self, interrupted):
        self.interrupted, self.heard = interrupted, []

    def setup(self, estimator, context):
        self.queue = queue.Queue()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()
        self.tell("setup")

    def on_fit_task_begin(self, estimator, context):
        self.tell(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context):
        self.tell(f"end {context.task_name}")

    def teardown(self, estimator, context):
        self.tell("teardown")
        self.thread.join(timeout=10)

    def tell(self, text):
        condition = self.queue.not_empty
        while not condition._waiters:
            time.sleep(0.001)
        if text == self.interrupted:
            condition._waiters = self.Waiters(condition._waiters)
        try:
            self.queue.put(text)
        finally:
            condition._waiters = deque(condition._waiters)

    def listen(self):
        while not self.heard or self.heard[-1] != "teardown":
            self.heard.append(self.queue.get())


@pytest.mark.parametrize("task", ["setup", "begin fit", "begin neighbors", "end epoch", "end fit", "teardown"])
@pytest.mark.parametrize("method", ["fit", "first partial_fit", "partial_fit"])
def test_an_interrupt_within_a_callback_waits_until_the_callback_is_done(method, task):
    umap = ParametricUMAP(**QUICK)
    if method == "partial_fit":
        umap.fit(X)
        task = task.replace("fit", "partial_fit")
    listened = Listened(task)
    before = vars(umap.set_callbacks(listened)).copy()
    with pytest.raises(KeyboardInterrupt):
        (umap.fit if method == "fit" else umap.partial_fit)(X)
    assert not listened.thread.is_alive() and listened.heard[-1] == "teardown"
    assert listened.heard.index(task) >= len(listened.heard) - 3  # the start of the next task is told with an end
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert task == "teardown" or vars(umap) == before


def test_the_handler_of_the_user_decides_what_an_interrupt_does():
    interrupts = []
    listened = Listened("end epoch")
    handler = lambda *interrupt: interrupts.append(listened.heard[-1])  # noqa: E731
    before = signal.signal(signal.SIGINT, handler)
    try:
        umap = ParametricUMAP(**QUICK).set_callbacks(listened).fit(X)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(interrupts) == N_INIT + N_MAIN
    np.testing.assert_array_equal(umap.embedding_, ParametricUMAP(**QUICK).fit(X).embedding_)


def test_an_interrupt_that_something_swallows_is_raised_nevertheless(monkeypatch):
    def swallow(X, **_):
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.1)
        return moments(X)

    moments = encoder.moments_of
    monkeypatch.setattr(encoder, "moments_of", swallow)
    umap = ParametricUMAP(**QUICK)
    with pytest.raises(KeyboardInterrupt):
        umap.fit(X)
    assert not hasattr(umap, "encoder_") and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_fit_in_another_thread_leaves_interrupts_alone():
    seen = []

    def look(*_):
        seen.append(signal.getsignal(signal.SIGINT))

    umap = ParametricUMAP(**QUICK).set_callbacks(Recorder(look))
    thread = threading.Thread(target=umap.fit, args=(X,))
    thread.start()
    thread.join(timeout=60)
    assert hasattr(umap, "encoder_") and set(seen) == {signal.default_int_handler}


INTERRUPTED = """
import threading
import torch
from children import killed_in_time, script
from sklearn.callback import ProgressBar
from test_callbacks import QUICK, Recorder, X
from parametric_umap import ParametricUMAP

def tell(told, times):
    if told == ("end", "fit", "main_embedding", "epoch") and times == 3:
        print("running")

umap = ParametricUMAP(**QUICK | {"n_epochs": 100_000, "n_jobs": 1}).set_callbacks(Recorder(tell), ProgressBar())
before, threads = vars(umap).copy(), set(threading.enumerate())
torch.set_num_threads(2)
try:
    umap.fit(X)
except KeyboardInterrupt as kept:
    left = {thread.name for thread in threading.enumerate() if thread not in threads}
    print("stopped", vars(umap) == before, torch.get_num_threads(), torch.is_grad_enabled(), sorted(left))
"""


def test_control_c_stops_a_fit_and_its_progress_bar():
    pytest.importorskip("rich")
    with killed_in_time(script(INTERRUPTED, **SHOWN)) as process:
        for line in process.stdout:
            if line.startswith("running"):
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    # The listener of scikit-learn's bar keeps a daemon thread, as it does with every estimator.
    assert re.fullmatch(r"stopped True 2 True \[('Thread-\d+ \(_accept\)')?\]\n", line)


WITHOUT_CALLBACKS = """
import sys
import numpy as np
from sklearn.datasets import load_iris
import parametric_umap

for name in [name for name in sys.modules if name.startswith("parametric_umap")]:
    del sys.modules[name]
sys.modules["sklearn.callback"] = None  # as if there were no such module
from parametric_umap import ParametricUMAP

X = load_iris().data[::3]
umap = ParametricUMAP(n_neighbors=5, hidden_layer_sizes=(8,), init_epochs=2, n_epochs=3, batches_per_epoch=4,
                      batch_size=32, random_state=0).fit(X)
np.save(sys.argv[1], umap.embedding_)
print(hasattr(umap, "set_callbacks"), umap.partial_fit(X[:20] + 0.1).n_samples_seen_)
"""


def test_without_scikit_learns_callbacks_a_fit_is_the_same(tmp_path):
    with killed_in_time(script(WITHOUT_CALLBACKS, tmp_path / "embedding.npy", **SHOWN)) as process:
        assert process.communicate()[0] == "False 70\n"
    np.testing.assert_array_equal(np.load(tmp_path / "embedding.npy"), ParametricUMAP(**QUICK).fit(X).embedding_)
