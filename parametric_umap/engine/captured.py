"""Steps on a GPU, captured once as a CUDA graph and replayed: launched one by one, kernels would wait for Python."""

from contextlib import suppress
from threading import Lock
from warnings import warn

import torch

N_FIRST = 3  # steps that run as they are, before one is captured: libraries make ready at their first calls
# To capture a step takes as long as to replay about ten: a replay holds one step for so many of the phase.
STEPS_FOR_ONE = 500
_capturing = Lock()  # torch captures one graph at a time


class CapturedEpoch:
    """Runs the batches of an epoch by captured steps. The host waits once, for the epoch's loss.

    On a device that captures nothing steps run as they are, and wait no more often.

    Parameters
    ----------
    step : callable
        Takes a batch, a sequence of tensors of the same shapes every time, and returns its loss, a tensor of shape ().
        A step that waits for the host, as a user's network may, cannot be captured, and runs as it is.
    n_steps : int
        Number of steps of the whole phase.
    """

    def __init__(self, step, n_steps):
        self.step = step
        self.n_steps = n_steps
        self.replay = None

    def __call__(self, batches):
        """Run the batches of an epoch.

        Parameters
        ----------
        batches : sequence of Tensor
            They hold the batches along their first axis, at most as many as those of the first call, and as many where
            a replay holds several steps. All are on the device.

        Returns
        -------
        total : float
            The sum of their losses.

        Warns
        -----
        RuntimeWarning
            If the first epoch's step cannot be captured.
        """
        n_run = 0
        if self.replay is None:
            n_run = self._prepare(batches)
        else:
            for kept, part in zip(self.batches, batches, strict=True):
                kept[: len(part)].copy_(part)
        for _ in range(n_run, len(batches[0]), self.steps_per_replay):
            self.replay()
        return self._take_total()

    def _prepare(self, batches):
        """Run the first steps as they are, capture the following ones, and return how many have been run."""
        device, n_batches = batches[0].device, len(batches[0])
        self.batches = [part.clone() for part in batches]
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.total = torch.zeros((), device=device)
        wanted = max(1, self.n_steps // STEPS_FOR_ONE)
        self.steps_per_replay = next(n for n in range(min(wanted, n_batches), 0, -1) if n_batches % n == 0)
        n_first = min(-(-N_FIRST // self.steps_per_replay) * self.steps_per_replay, n_batches)
        if device.type == "cuda":  # only on a GPU
            self.replay = self._captured(device, n_first)
        else:
            self._run(n_first)
            self.replay = self._run_some
        return n_first

    def _captured(self, device, n_first):  # only on a GPU
        """Run steps on a stream beside the current one, as a capture needs, and capture those of a replay."""
        stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            self._run(n_first)
        current.wait_stream(stream)
        pool, generator = torch.cuda.graph_pool_handle(), torch.cuda.default_generators[device.index]
        random_state = generator.clone_state()
        try:
            graph = torch.cuda.CUDAGraph()
            # Of this thread alone: one beside it, with a fit of its own, may meanwhile ask for memory. The random state
            # of a user's dropout is torch's own, which a graph knows; all else is drawn before the steps.
            with _capturing, torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                self._run_some()
            return graph.replay
        except RuntimeError as error:
            # What torch leaves behind: the stream, the pool, and a random state that counts for a graph.
            torch.cuda.set_stream(current)
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(device.index, pool)
            generator.graphsafe_set_state(random_state)
            reason = str(error).splitlines()[0]
            warn(
                f"the training step could not be captured as a CUDA graph, and runs several times slower: {reason}",
                RuntimeWarning,
                stacklevel=2,
            )
            return self._run_some

    def _run_some(self):
        self._run(self.steps_per_replay)

    def _run(self, n_steps):
        """Steps with the batches from `position` on, which they move on."""
        for _ in range(n_steps):
            batch = [part.index_select(0, self.position)[0] for part in self.batches]
            self.total += self.step(batch)
            self.position += 1

    def _take_total(self):
        """Wait for the sum of the losses, and begin anew."""
        total = self.total.item()
        self.total.zero_()
        self.position.zero_()
        return total
