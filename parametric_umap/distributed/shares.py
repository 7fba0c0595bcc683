"""Which process has which rows: every cell has one owner, to whom its rows are sent."""

from typing import NamedTuple

import torch


class Share(NamedTuple):
    """The rows of a process, in the order of their cells.

    The rows of the first process come first in the order of all, then those of the second, and so on: the place of a
    row in it is how all processes call it.

    Attributes
    ----------
    rows : Tensor of shape (n_own, n_features), float32
        The rows.
    callers : Tensor of shape (n_own,), int64
        Where each is among the rows that were given: the first process's, then the second's, and so on.
    cell : Tensor of shape (n_own,), int64
        The number of its cell, rising.
    owner : Tensor of shape (n_cells,), int64
        The owner of every cell.
    starts : Tensor of shape (size + 1,), int64
        The place of each process's first row, and the number of all rows.
    given : Tensor of shape (size + 1,), int64
        The same of the rows that were given.
    """

    rows: torch.Tensor
    callers: torch.Tensor
    cell: torch.Tensor
    owner: torch.Tensor
    starts: torch.Tensor
    given: torch.Tensor

    def owner_of(self, places):
        """The processes that own the rows at some places."""
        return torch.searchsorted(self.starts, places, right=True) - 1


def shared_out(group, X, cell, n_cells):
    """Send every row to the owner of its cell.

    Parameters
    ----------
    group : Group
        All processes.
    X : Tensor of shape (n_given, n_features), float32
        The rows that this one was given.
    cell : Tensor of shape (n_given,), int64
        The cell of each.
    n_cells : int
        Number of cells. Neighbouring numbers are near to each other, so that an owner gets a run of them.

    Returns
    -------
    share : Share
        The rows of this process, one at least.

    Raises
    ------
    ValueError
        If fewer cells than processes have rows.
    """
    given = _starts(group.gather_alike(torch.tensor(len(X))))
    sizes = group.sum(torch.bincount(cell, minlength=n_cells))
    owner = owners(sizes, group.size)
    callers = given[group.rank] + torch.arange(len(X), device=X.device)
    rows, callers, cell = sent_to(group, owner[cell], X, callers, cell)
    order = cell.argsort(stable=True)
    starts = _starts(group.gather_alike(torch.tensor(len(rows))))
    if (starts.diff() == 0).any():
        raise ValueError(f"X has too few rows that differ for {group.size} processes: {int(starts[-1])} in all.")
    return Share(rows[order], callers[order], cell[order], owner, starts, given)


def owners(sizes, n_owners):
    """Give each owner a run of cells with about as many rows, and at least one cell with rows, while there are some.

    Parameters
    ----------
    sizes : Tensor of shape (n_cells,), int64
        Number of rows in each cell.
    n_owners : int
        Number of owners.

    Returns
    -------
    owner : Tensor of shape (n_cells,), int64
        The owner of each cell, rising.
    """
    owner, current, n_rows = [], 0, int(sizes.sum())
    n_before, n_held, n_left = 0, 0, int((sizes > 0).sum())  # rows given out, cells of this owner, cells to give out
    for size in sizes.tolist():
        if size:
            is_full = n_before * n_owners >= (current + 1) * n_rows
            is_last = n_left <= n_owners - 1 - current  # or another owner would get none
            if n_held and current < n_owners - 1 and (is_full or is_last):
                current, n_held = current + 1, 0
            n_before, n_held, n_left = n_before + size, n_held + 1, n_left - 1
        owner.append(current)
    return torch.tensor(owner, device=sizes.device)


def sent_to(group, owner, *tensors):
    """Send to every process what belongs to it.

    Parameters
    ----------
    group : Group
        All processes.
    owner : Tensor of shape (n,), int64
        To which process.
    *tensors : Tensor of shape (n, ...)
        What.

    Returns
    -------
    received : list of Tensor of shape (n_received, ...)
        The same of what others sent here.
    """
    order, counts = owner.argsort(stable=True), torch.bincount(owner, minlength=group.size).tolist()
    return [group.exchange(tensor[order], counts)[0] for tensor in tensors]


def answers(group, asked, owner, answer):
    """Ask the owners of something for what belongs to it.

    Parameters
    ----------
    group : Group
        All processes.
    asked : Tensor of shape (n_asked,), int64
        What is asked for, in the order of its owners.
    owner : Tensor of shape (n_asked,), int64
        The owner of each, rising.
    answer : callable
        Takes what others ask this process for, a tensor of shape (n,), and gives how many things belong to each, a
        tensor of shape (n,), int64, and tensors of these things, one after another.

    Returns
    -------
    lengths : Tensor of shape (n_asked,), int64
        How many things belong to each.
    answers : list of Tensor of shape (lengths.sum(), ...)
        The things.
    """
    wanted, coming = group.exchange(asked, torch.bincount(owner, minlength=group.size).tolist())
    lengths, parts = answer(wanted)
    sizes = [int(part.sum()) for part in lengths.split(coming)]
    return group.exchange(lengths, coming)[0], [group.exchange(part, sizes)[0] for part in parts]


def stretches(starts, lengths):
    """The numbers from each start on, so many of them, one stretch after another: of shape (lengths.sum(),)."""
    before = lengths.cumsum(dim=0) - lengths
    return torch.arange(int(lengths.sum()), device=starts.device) + (starts - before).repeat_interleave(lengths)


def _starts(sizes):
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(dim=0)])
