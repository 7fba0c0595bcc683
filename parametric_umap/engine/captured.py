"""Steps on a GPU, captured once as a CUDA graph and replayed: launched one by one, kernels would wait for Python."""

import torch

N_FIRST = 3  # steps that run as they are, before one is captured: libraries make ready at their first calls


class CapturedEpoch:  # only on a GPU
    """Runs the batches of an epoch by one captured step. The host waits once, for the epoch's loss.

    Parameters
    ----------
    step : callable
        Takes a batch, a sequence of tensors of the same shapes every time, and returns its loss, a tensor of shape ().
        A step that waits for the host, as a user's network may, cannot be captured, and runs as it is.
    """

    def __init__(self, step):
        self.step = step
        self.replay = None

    def __call__(self, batches):
        """Run the batches of an epoch.

        Parameters
        ----------
        batches : tuple of Tensor
            They hold the batches along their first axis.

        Returns
        -------
        total : float
            The sum of their losses.
        """
        n_run = 0
        if self.replay is None:
            n_run = self._capture(batches)
        else:
            for kept, part in zip(self.batches, batches, strict=True):
                kept.copy_(part)
        for _ in range(n_run, len(batches[0])):
            self.replay()
        total = self.total.item()
        self.total.zero_()
        self.position.zero_()
        return total

    def _capture(self, batches):
        """Run the first batches as they are, capture what a batch does, and return how many have been run."""
        self.batches = [part.clone() for part in batches]
        self.position = torch.zeros(1, dtype=torch.int64, device=batches[0].device)
        self.total = torch.zeros((), device=batches[0].device)
        n_first = min(N_FIRST, len(batches[0]))
        stream, current = torch.cuda.Stream(self.total.device), torch.cuda.current_stream(self.total.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(n_first):
                self._next()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            # Of this thread alone: one beside it, with a fit of its own, may meanwhile ask for memory.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                self._next()
            self.replay = graph.replay
        except RuntimeError:
            self.replay = self._next
        return n_first

    def _next(self):
        """One step with the batch at `position`, which it moves on."""
        batch = [part.index_select(0, self.position)[0] for part in self.batches]
        self.total += self.step(batch)
        self.position += 1
