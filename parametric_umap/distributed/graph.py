"""The rows of the graph of all processes that belong to this one's rows, and what is near to these."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from ..graph import Graph, directed_memberships, joined
from ..neighbors import Neighbors
from .shares import answers, sent_to, stretches


@dataclass(frozen=True, eq=False)
class GraphRows:
    """The edges of a process's rows.

    Attributes
    ----------
    starts : Tensor of shape (n_own + 1,), int64
        Where the edges of each row begin, and where the last ones end.
    ends : Tensor of shape (n_stored,), int64
        The places of their other ends, rising for each row.
    weights : Tensor of shape (n_stored,), float32
        Their weights.
    """

    starts: torch.Tensor
    ends: torch.Tensor
    weights: torch.Tensor

    @property
    def degrees(self):
        return self.starts.diff()

    def of_rows(self, rows):
        """The edges of some rows: how many each has, and their other ends and weights."""
        lengths = self.degrees[rows]
        edges = stretches(self.starts[rows], lengths)
        return lengths, (self.ends[edges], self.weights[edges])


def graph_together(group, share, indices, distances, *, local_connectivity, set_op_mix_ratio):
    """Join the neighbours of all processes to the fuzzy simplicial set.

    Parameters
    ----------
    group : Group
        All processes.
    share : Share
        The rows of this one.
    indices : Tensor of shape (n_own, n_neighbors), int64
        The places of their neighbours.
    distances : Tensor of shape (n_own, n_neighbors), float32
        Their distances.
    local_connectivity, set_op_mix_ratio : float
        As in `fuzzy_simplicial_set`.

    Returns
    -------
    graph : GraphRows
        The rows of the graph that belong to this process: those of one process that has all rows.
    """
    first, n_own = share.starts[group.rank], len(share.rows)
    own = first + torch.arange(n_own)[:, None]
    number = torch.where(indices == own, own - first, n_own)  # of which only that of the row itself counts
    held = directed_memberships(Neighbors(number, distances), local_connectivity, group.sum)
    kept = held > 0
    heads, ends, forward = own.expand_as(indices)[kept], indices[kept], held[kept]
    # Who owns the other end is told of the edge.
    there, here, backward = sent_to(group, share.owner_of(ends), heads, ends, forward)
    return _joined_rows(
        torch.cat([heads, here]) - first,
        torch.cat([ends, there]),
        torch.cat([forward, torch.zeros_like(backward)]),
        torch.cat([torch.zeros_like(forward), backward]),
        (n_own, int(share.starts[-1])),
        set_op_mix_ratio,
    )


def _joined_rows(heads, ends, forward, backward, shape, set_op_mix_ratio):
    """One edge of each pair of a row and another end, of which there may be one in each direction."""
    keys, number = (heads * shape[1] + ends).unique(return_inverse=True)
    both = [torch.zeros(len(keys), dtype=torch.float64).index_add_(0, number, part) for part in (forward, backward)]
    weights = joined(*both, set_op_mix_ratio).float()
    keys, weights = keys[weights > 0], weights[weights > 0]
    starts = torch.searchsorted(keys, torch.arange(shape[0] + 1) * shape[1])
    return GraphRows(starts, keys % shape[1], weights)


def graph_around(group, share, graph):
    """The graph of a process's rows and of all that they have edges with.

    Parameters
    ----------
    group : Group
        All processes.
    share : Share
        The rows of this one.
    graph : GraphRows
        Their edges.

    Returns
    -------
    around : Graph
        Its first nodes are the process's own.
    rows : Tensor of shape (n_nodes, n_features), float32
        The rows of its nodes.
    callers : Tensor of shape (n_nodes,), int64
        Where each is among the rows that were given.
    places : Tensor of shape (n_nodes,), int64
        Their places: first the process's own, then those of others, rising.
    """
    first, n_own = share.starts[group.rank], len(share.rows)
    others = graph.ends.unique()
    others = others[(others < first) | (others >= first + n_own)]
    owner = share.owner_of(others)

    def edges(asked):
        return graph.of_rows(asked - first)

    def nodes(asked):
        rows = asked - first
        return torch.ones_like(rows), (share.rows[rows], share.callers[rows])

    degrees, (ends, weights) = answers(group, others, owner, edges)
    _, (rows, callers) = answers(group, others, owner, nodes)
    heads = (n_own + torch.arange(len(others))).repeat_interleave(degrees)
    heads = torch.cat([torch.arange(n_own).repeat_interleave(graph.degrees), heads])
    ends, weights = torch.cat([graph.ends, ends]), torch.cat([graph.weights, weights])
    is_own = (ends >= first) & (ends < first + n_own)
    number = torch.searchsorted(others, ends).clamp(max=max(0, len(others) - 1))
    kept = is_own | ((others[number] == ends) if len(others) else torch.zeros_like(is_own))
    ends = torch.where(is_own, ends - first, n_own + number)[kept]
    heads, weights = heads[kept], weights[kept]
    order = (heads * (n_own + len(others)) + ends).argsort()
    starts = torch.searchsorted(heads, torch.arange(n_own + len(others) + 1))
    return (
        Graph(starts, ends[order].int(), weights[order]),
        torch.cat([share.rows, rows]),
        torch.cat([share.callers, callers]),
        torch.cat([first + torch.arange(n_own), others]),
    )


def graph_as_given(group, share, graph, places, callers):
    """The rows of the graph that belong to the rows that this process was given.

    Parameters
    ----------
    group : Group
        All processes.
    share : Share
        The rows of this one.
    graph : GraphRows
        Their edges.
    places, callers : Tensor of shape (n_nodes,), int64
        Of all ends of edges, their places and where they are among the rows that were given.

    Returns
    -------
    graph : csr_array of shape (n_given, n_rows), float32
        The columns are the rows of the first process as they were given, then those of the second, and so on.
    """
    by_place = places.argsort()
    columns = callers[by_place[torch.searchsorted(places[by_place], graph.ends)]]
    heads = share.callers.repeat_interleave(graph.degrees)
    giver = torch.searchsorted(share.given, heads, right=True) - 1
    heads, columns, weights = sent_to(group, giver, heads, columns, graph.weights)
    heads = heads - share.given[group.rank]
    shape = int(share.given.diff()[group.rank]), int(share.given[-1])
    given = sp.csr_array((weights.numpy(), (heads.numpy(), columns.numpy())), shape=shape, dtype=np.float32)
    given.sort_indices()
    return given
