"""Where the time of a default fit goes: stage by stage, and inside a training step, on the CPU or a CUDA device.

The steps are those of the fit itself: torch's profiler runs during one epoch in the middle of the second phase. (Named
``profile.py``, this file would stand before the standard library's module of that name.)
"""

import argparse
import io
from contextlib import redirect_stdout

from data import load
from reference_recipe import RECIPE, print_table, stage_seconds
from torch.profiler import ProfilerActivity, profile

from parametric_umap import ParametricUMAP, estimator
from parametric_umap.progress import Progress


def main(data, parameters, n_operations):
    transcript, profiler = io.StringIO(), EpochProfiler()
    estimator.Progress = profiler.watching(Progress)
    with redirect_stdout(transcript):
        ParametricUMAP(**parameters | {"verbose": True, "random_state": 0}).fit(load(data)[0])
    print_table(
        "stage", "seconds", {name: f"{value:7.2f}" for name, value in stage_seconds(transcript.getvalue()).items()}
    )
    print_table(f"a step of {profiler.n_steps}", "ms, and share", profiler.rows(n_operations))


class EpochProfiler:
    """Profiles the middle epoch of phase ``main_embedding``."""

    def watching(self, progress):
        """A class of progress that also starts and stops the profiler."""
        profiler = self

        class Watching(progress):
            def epoch(self, phase, epoch, loss):
                stop = super().epoch(phase, epoch, loss)
                if phase.name == "main_embedding":
                    profiler.after(phase, epoch)
                return stop

        return Watching

    def after(self, phase, epoch):
        if epoch == phase.n_epochs // 2:
            self.n_steps = phase.batches_per_epoch
            self.profile = profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])
            self.profile.start()
        elif epoch == phase.n_epochs // 2 + 1:
            self.profile.stop()

    def rows(self, n_operations):
        """The operations that take longest themselves, and all others together."""
        operations = [(entry.key, time_of(entry)) for entry in self.profile.key_averages()]
        operations.sort(key=lambda operation: -operation[1])
        total = sum(microseconds for _, microseconds in operations)
        listed = operations[:n_operations]
        listed += [("all others", total - sum(microseconds for _, microseconds in listed)), ("together", total)]
        return {
            name[:25]: f"{microseconds / self.n_steps / 1e3:8.3f}{microseconds / total:8.0%}"
            for name, microseconds in listed
        }


def time_of(entry):
    """Microseconds of an operation itself: on the GPU, where it ran there."""
    return entry.self_device_time_total or entry.self_cpu_time_total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="MNIST 5,000", help="as benchmarks/data.py names it")
    parser.add_argument("--recipe", action="store_true", help="the reference recipe instead of default parameters")
    parser.add_argument("--device", default="auto", help="of the fit")
    parser.add_argument("--operations", type=int, default=14, help="how many are listed")
    arguments = parser.parse_args()
    main(arguments.data, (RECIPE if arguments.recipe else {}) | {"device": arguments.device}, arguments.operations)
