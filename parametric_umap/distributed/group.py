"""The processes that fit together: what they send each other, and what becomes of them if one dies."""

import time
from contextlib import contextmanager

import torch
import torch.distributed as dist

SECONDS_TO_ANSWER = 5  # once something has failed


class Group:
    """All processes of the initialized process group. Tensors may be on any device, and so are the answers to them.

    Attributes
    ----------
    rank, size : int
        Which of the processes this is, and how many there are.
    device : torch.device
        Where what is sent lies: the current CUDA device for NCCL, else the CPU.

    Raises
    ------
    ValueError
        If there is no process group.
    """

    def __init__(self):
        if not (dist.is_available() and dist.is_initialized()):
            raise ValueError(
                "distributed=True needs a process group: start the processes by torchrun, and have each call "
                "torch.distributed.init_process_group before fit."
            )
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.store = dist.distributed_c10d._get_default_store()  # it stays when the group is closed
        on_gpu = "nccl" in dist.get_backend()
        self.device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def gather(self, tensor):
        """Give every process the tensors of all.

        Parameters
        ----------
        tensor : Tensor of shape (n, ...)
            Of this process; only `n` may differ between them.

        Returns
        -------
        tensors : list of Tensor
            By process.
        """
        sizes = self.gather_alike(torch.tensor(len(tensor))).tolist()
        padded = tensor.new_zeros((max(sizes), *tensor.shape[1:]))
        padded[: len(tensor)] = tensor
        return [part[:size] for part, size in zip(self.gather_alike(padded), sizes, strict=True)]

    def gather_alike(self, tensor):
        """Give every process the tensors of all, which have the same shape: one of shape (size, *shape)."""
        sent = tensor.to(self.device).contiguous()
        gathered = sent.new_empty((self.size, *tensor.shape))
        with self._told():
            dist.all_gather(list(gathered.unbind()), sent)
        return gathered.to(tensor.device)

    def exchange(self, tensor, counts):
        """Send a part of a tensor to every process.

        Parameters
        ----------
        tensor : Tensor of shape (n, ...)
            The part for the first process, then that for the second, and so on.
        counts : sequence of int
            The lengths of the parts.

        Returns
        -------
        received : Tensor of shape (n_received, ...)
            What the first process sent here, then the second, and so on.
        counts : list of int
            The lengths of these parts.
        """
        leaving = torch.as_tensor(counts, dtype=torch.int64, device=self.device)
        coming = torch.empty_like(leaving)
        with self._told():
            dist.all_to_all_single(coming, leaving)
        coming = coming.tolist()
        sent = tensor.to(self.device).contiguous()
        received = sent.new_empty((sum(coming), *tensor.shape[1:]))
        with self._told():
            dist.all_to_all_single(received, sent, coming, list(counts))
        return received.to(tensor.device), coming

    def sum(self, tensor):
        """Replace a tensor, in place, by the sum of all processes' tensors."""
        sent = tensor.to(self.device)
        with self._told():
            dist.all_reduce(sent)
        return tensor.copy_(sent) if sent is not tensor else tensor

    def of_first(self, value):
        """Take the first process's value of anything that pickles."""
        held = [value]
        with self._told():
            dist.broadcast_object_list(held, src=0, device=self.device)
        return held[0]

    @contextmanager
    def agreed(self):
        """Do something that may be refused, in all processes or in none.

        Raises
        ------
        ValueError
            If another process refused; where this one did, what it raised.
        """
        refused = None
        try:
            yield
        except Exception as error:
            refused = error
        others = self.gather_alike(torch.tensor(refused is not None)).nonzero()[:, 0].tolist()
        if refused is not None:
            raise refused
        if others:
            raise ValueError(f"process {others[0]} of {self.size} refused what it was given; its own error says why.")

    @contextmanager
    def _told(self):
        """If a collective fails, say which process is gone."""
        try:
            yield
        except RuntimeError as error:
            raise RuntimeError(
                f"process {self.rank} of {self.size} cannot go on with the fit: {self._missing()}. "
                "The group of processes is closed; start all of them again."
            ) from error

    def _missing(self):
        """Which processes do not answer. The group is closed, so that those that wait in it do."""
        try:
            self.store.set(_name_of(self.rank), "")
            if dist.is_initialized():
                dist.destroy_process_group()
            silent, until = set(range(self.size)), time.monotonic() + SECONDS_TO_ANSWER
            while silent and time.monotonic() < until:
                silent = {rank for rank in silent if not self.store.check([_name_of(rank)])}
                time.sleep(0.05)
        except RuntimeError:  # of a store whose process has died
            return "the process that keeps the group's store does not answer"
        names = ", ".join(map(str, sorted(silent)))
        return f"process {names} does not answer" if silent else "a message between processes was lost"


def _name_of(rank):
    return f"parametric_umap: process {rank} has seen an error"
