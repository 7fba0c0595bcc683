"""`verbose` shows a bar where a line can be written over, and lines that stay elsewhere."""

import io
import os
import re
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
import torch
from children import killed_in_time, script
from sklearn.datasets import load_iris

from parametric_umap import ParametricUMAP, bar, progress

X = load_iris().data[::3]
QUICK = {"n_neighbors": 5, "init_epochs": 2, "n_epochs": 7, "batches_per_epoch": 2, "batch_size": 32, "random_state": 0}
LAST_LINE = r" *\d+\.\d\d s  main_embedding: epoch 7/7, loss {:.4f} \|[█#]+\| 00:00 left *"


def on_screen(written):
    """The lines that stay of what was written, and all states of each."""
    states = [line.strip("\r").split("\r") for line in written.replace("\r\n", "\n").split("\n")]
    return [line[-1] for line in states], states


class Terminal(io.StringIO):
    def isatty(self):
        return True


class NotebookOutput(io.StringIO):
    """As the output of a notebook's cell, which is no terminal."""


NotebookOutput.__module__ = "ipykernel.iostream"


LIVE = pytest.mark.parametrize("live", [Terminal, NotebookOutput])


@pytest.fixture
def written_to(monkeypatch):
    """Puts a stream in the place of the standard output; pytest puts its own there before the test begins."""

    def put(stream, original=None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "__stdout__", stream if original is None else original)
        return stream

    return put


class Slow(torch.nn.Linear):
    """Epochs last long enough for each to be shown, and the threads that run are counted."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.n_threads = set()

    def forward(self, x):
        threading.Event().wait(0.06 if self.training else 0)
        self.n_threads.add(threading.active_count())
        return super().forward(x)


@LIVE
def test_a_bar_is_written_over_after_every_epoch_and_needs_no_thread(live, written_to):
    stream = written_to(live())
    n_threads = threading.active_count()
    umap = ParametricUMAP(verbose=True, encoder=Slow(4, 2), **QUICK).fit(X)
    lines, states = on_screen(stream.getvalue())
    assert [re.sub(r"^ *\d+\.\d\d s  ([\w ]+).*", r"\1", line) for line in lines[:-1]] == [
        "neighbors",
        "graph",
        "initial positions",
        "spectral_init",
        "spectral_init",
        "main_embedding",
        "main_embedding",
        "embedding",
        "done",
    ]
    losses = umap.loss_curve_["main_embedding"]
    assert re.fullmatch(LAST_LINE.format(losses[-1]), lines[6])
    for epoch, loss in enumerate(losses, 1):
        assert any(f"epoch {epoch}/7, loss {loss:.4f} |" in state for state in states[6])
    assert umap.encoder_.n_threads == {n_threads}


class Interrupted(torch.nn.Linear):
    n_steps = 0

    def forward(self, x):
        self.n_steps += self.training
        if self.n_steps > 8:
            raise KeyboardInterrupt
        return super().forward(x)


@LIVE
def test_a_stopped_fit_closes_its_bar(live, written_to):
    stream = written_to(live())
    with pytest.raises(KeyboardInterrupt):
        ParametricUMAP(verbose=True, encoder=Interrupted(4, 2), **QUICK).fit(X)
    assert re.search(r"main_embedding: epoch \d/7.*left *\n$", stream.getvalue())
    assert not bar.Bar._instances


@pytest.mark.parametrize(
    "elsewhere", ["written to by something else", "of a worker", "a file", "nowhere", "without tqdm"]
)
def test_lines_stay_where_they_cannot_be_written_over(elsewhere, written_to, monkeypatch):
    stream = {"a file": io.StringIO(), "nowhere": None}.get(elsewhere, Terminal())
    written_to(stream, Terminal() if elsewhere == "written to by something else" else None)
    if elsewhere == "without tqdm":
        monkeypatch.delitem(sys.modules, "parametric_umap.bar")
        monkeypatch.setitem(sys.modules, "tqdm", None)
    if elsewhere == "of a worker":
        monkeypatch.setattr(progress, "parent_process", object)
    ParametricUMAP(verbose=True, report_interval=3, **QUICK).fit(X)
    if stream is not None:
        assert "\r" not in stream.getvalue()
        assert re.findall(r"main_embedding: epoch (\d)/7, loss \d", stream.getvalue()) == ["3", "6", "7"]


SCRIPT = """
from test_progress import QUICK, X
from parametric_umap import ParametricUMAP
umap = ParametricUMAP(verbose=True, **QUICK).fit(X)
print(umap.loss_curve_["main_embedding"][-1])
"""


def test_a_real_terminal_shows_the_bar_on_one_line():
    fcntl, pty, struct, termios = map(pytest.importorskip, ("fcntl", "pty", "struct", "termios"))
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with killed_in_time(script(SCRIPT, stdout=terminal, stderr=subprocess.PIPE)) as process:
        os.close(terminal)
        written = b""
        with suppress(OSError):  # the other side is closed
            while part := os.read(master, 4096):
                written += part
        os.close(master)
        assert process.wait(timeout=60) == 0, process.stderr.read()
        process.stderr.close()
    lines, states = on_screen(written.decode())
    assert re.fullmatch(LAST_LINE.format(float(lines[9])), lines[6])
    assert len(states[6]) > 1 and all(len(state) <= 100 for state in states[6])
