"""What a fit prints while it runs."""

import time
from numbers import Integral

PHASES = ("spectral_init", "main_embedding")


class Progress:
    """Prints each stage as it starts, and the losses of training, with the seconds since the fit began.

    Parameters
    ----------
    verbose : bool
        Whether anything is printed.
    report_interval : int or dict
        Number of epochs from one printed loss to the next; a dict gives it by the name of the phase.
    """

    def __init__(self, verbose, report_interval):
        self.verbose = verbose
        self.report_interval = report_interval
        self.start = time.perf_counter()

    def stage(self, description):
        """Say what begins now."""
        if self.verbose:
            print(f"{time.perf_counter() - self.start:8.2f} s  {description}", flush=True)

    def epoch(self, phase, epoch, loss):
        """Say what an epoch's loss was, if it is one of those to report."""
        interval = self.report_interval[phase.name] if isinstance(self.report_interval, dict) else self.report_interval
        if epoch % interval == 0 or epoch == phase.n_epochs:
            self.stage(f"{phase.name}: epoch {epoch}/{phase.n_epochs}, loss {loss:.4f}")


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
