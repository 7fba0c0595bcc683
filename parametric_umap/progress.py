"""What a fit tells while it runs: its tasks to scikit-learn's callbacks, its stages and losses to the screen."""

import sys
import time
from contextlib import contextmanager, nullcontext
from multiprocessing import parent_process
from numbers import Integral

from .engine import MainEmbedding, SpectralInit
from .interrupts import keeping_interrupts

try:
    from sklearn.callback import CallbackSupportMixin
except ModuleNotFoundError:  # scikit-learn before 1.9 has no callbacks: the tasks are told to nobody

    class CallbackSupportMixin:  # type: ignore[no-redef]
        def _init_callback_context(self, **task):
            return _Untold()

    class _Untold:
        def subcontext(self, **task):
            return self

        def call_on_fit_task_begin(self, **state):
            return self

        def call_on_fit_task_end(self, **state):
            return False


PHASES = (SpectralInit.name, MainEmbedding.name)


class Progress:
    """Tells of a fit. It is one task, its stages are the subtasks, and the epochs of a phase are those of a stage.

    Interrupts wait until what is told has been told.

    Parameters
    ----------
    estimator : ParametricUMAP
        The one that is fitted. Its callbacks are told of the tasks; its `verbose` says whether anything is shown.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows, as the callbacks are given them.
    y : array-like of shape (n_samples,) or (n_samples, n_targets) or None
        Their targets, as the callbacks are given them.
    task_name : {"fit", "partial_fit"}
        What the task is called.
    n_stages : int
        Number of its stages.
    """

    @keeping_interrupts
    def __init__(self, estimator, X, y, *, task_name, n_stages):
        self.told = {"estimator": estimator, "X": X, "y": y}
        self.screen = Screen(estimator.verbose, estimator.report_interval)
        self.stage_task = self.epoch_task = self.attributes = None
        self.fit_task = estimator._init_callback_context(task_name=task_name, max_subtasks=n_stages)
        self.fit_task.call_on_fit_task_begin(**self.told)

    @keeping_interrupts
    def stage(self, name, detail="", n_epochs=0):
        """Say what begins now; the stage before is over.

        Parameters
        ----------
        name : str
            What the stage is called.
        detail : str, default=""
            What else is shown of it.
        n_epochs : int, default=0
            Number of its epochs.
        """
        self._end_stage()
        self.screen.line(f"{name}: {detail}" if detail else name)
        self.stage_task = self.fit_task.subcontext(task_name=name, max_subtasks=n_epochs)
        self.stage_task.call_on_fit_task_begin(**self.told)

    @contextmanager
    def phase(self, phase, detail, attributes):
        """Tell of a stage of training, as long as it lasts.

        Parameters
        ----------
        phase : SpectralInit or MainEmbedding
            What is learned.
        detail : str
            What else is shown of it.
        attributes : callable
            Gives the attributes, by their names, that the estimator would have if the fit stopped now. It is called
            only if a callback asks for an estimator.
        """
        self.stage(phase.name, detail, phase.n_epochs)
        self.attributes = attributes
        self._begin_epoch()
        with self.screen.phase(phase):
            yield

    @keeping_interrupts
    def epoch(self, phase, epoch, loss):
        """Say that an epoch of the phase is over.

        Parameters
        ----------
        phase : SpectralInit or MainEmbedding
            What is learned.
        epoch : int
            Number of the epoch, counted from 1.
        loss : float
            Mean loss of its batches.

        Returns
        -------
        stop : bool
            Whether a callback wants the phase to end here.
        """
        self.screen.epoch(phase, epoch, loss)
        stop = self.epoch_task.call_on_fit_task_end(**self.told, reconstruction_attributes=self.attributes)
        if epoch < phase.n_epochs and not stop:
            self._begin_epoch()
        return stop

    @keeping_interrupts
    def finish(self):
        """Say that the fit is over; the estimator has its attributes."""
        self._end_stage()
        self.fit_task.call_on_fit_task_end(**self.told, reconstruction_attributes={})
        self.screen.line("done")

    @keeping_interrupts
    def _begin_epoch(self):
        self.epoch_task = self.stage_task.subcontext(task_name="epoch")
        self.epoch_task.call_on_fit_task_begin(**self.told, reconstruction_attributes=self.attributes)

    def _end_stage(self):
        if self.stage_task is not None:
            self.stage_task.call_on_fit_task_end(**self.told, reconstruction_attributes=self.attributes)
        self.attributes = None


class Screen:
    """Shows each stage as it starts and the losses of training, with the seconds since the fit began.

    The losses are those of every epoch, on a bar, where a line can be written over and tqdm is installed, and else are
    printed at intervals.

    Parameters
    ----------
    verbose : bool
        Whether anything is shown.
    report_interval : int or dict
        Number of epochs from one printed loss to the next; a dict gives it by the name of the phase.
    """

    def __init__(self, verbose, report_interval):
        self.verbose = verbose
        self.report_interval = report_interval
        self.start = time.perf_counter()
        self.Bar = _bar_or_none() if verbose else None
        self.bar = None

    def line(self, text):
        """Show a line of text."""
        if self.verbose:
            # Above the bars of fits in other threads.
            with nullcontext() if self.Bar is None else self.Bar.external_write_mode(sys.stdout):
                print(self._timed(text), flush=True)

    @contextmanager
    def phase(self, phase):
        """Show a bar, where there can be one, as long as a phase lasts."""
        live = self.Bar is not None and _can_be_written_over(sys.stdout)
        text = self._timed(f"{phase.name}: epoch 0/{phase.n_epochs}")
        with self.Bar(phase.n_epochs, text, sys.stdout) if live else nullcontext() as self.bar:
            yield

    def epoch(self, phase, epoch, loss):
        """Show the loss of an epoch, on the bar, or as a line if it is one of those to report."""
        if not self.verbose:
            return
        text = f"{phase.name}: epoch {epoch}/{phase.n_epochs}, loss {loss:.4f}"
        interval = self.report_interval[phase.name] if isinstance(self.report_interval, dict) else self.report_interval
        if self.bar is not None:
            self.bar.advance(self._timed(text))
        elif epoch % interval == 0 or epoch == phase.n_epochs:
            self.line(text)

    def _timed(self, text):
        return f"{time.perf_counter() - self.start:8.2f} s  {text}"


def _bar_or_none():
    """The class of bars, or None without tqdm."""
    try:
        from .bar import Bar
    except ModuleNotFoundError:
        return None
    return Bar


def _can_be_written_over(stream):
    """Whether a stream is a terminal, which no other process or display writes to, or the output of a notebook."""
    in_terminal = stream is not None and stream is sys.__stdout__ and stream.isatty() and parent_process() is None
    return in_terminal or type(stream).__module__.startswith("ipykernel.")


def check_report_interval(report_interval):
    """Make sure that an interval given as a dict has one for each phase.

    Parameters
    ----------
    report_interval : int or dict
        The parameter.

    Raises
    ------
    ValueError
        If the keys are not the phases' names, or a value is not an integer above 0.
    """
    if not isinstance(report_interval, dict):
        return
    valid = all(isinstance(epochs, Integral) and epochs > 0 for epochs in report_interval.values())
    if set(report_interval) != set(PHASES) or not valid:
        raise ValueError(f"report_interval must have an integer above 0 for each of {PHASES}; got {report_interval}.")
