"""What a batch is made of: groups of rows, and the weights of the graph's edges within each group."""

import torch

from ..graph import Graph
from ..on_device import float64_device

NEIGHBORHOOD_SIZE = 16
# Of at most so many rows are the weights within all neighbourhoods found once, a kilobyte each, so many at a time;
# batches draw each of them several times.
KEPT_ROWS = 2**16
FOUND_ROWS = 2**12


class EdgeSampler:
    """Draws edges with replacement, each with a probability proportional to its weight.

    Parameters
    ----------
    graph : Graph or csr_array of shape (n_samples, n_samples), float32
        Symmetric weights.
    device : torch.device
        Where the draws are made and wanted.

    Attributes
    ----------
    group_size : int
        2, the end points of an edge.
    n_groups : int
        Number of edges.
    """

    group_size = 2

    def __init__(self, graph, device):
        graph = Graph.of(graph, device)
        self.edges = torch.stack([graph.heads, graph.ends.long()], dim=1)
        self.n_groups = len(self.edges)
        self.cumulative = _cumulative_shares(graph.weights.to(float64_device(device)))
        self.weights = 1 - torch.eye(2, device=device)

    def draw(self, n_batches, n_groups, generator):
        """Draw edges.

        Parameters
        ----------
        n_batches, n_groups : int
            Number of batches, and of edges in each.
        generator : torch.Generator
            Source of randomness, on the sampler's device.

        Returns
        -------
        members : Tensor of shape (n_batches, n_groups, 2), int64
            The two end points of every edge.
        weights : Tensor of shape (n_batches, n_groups, 2, 2), float32
            1 between the two: its weight in the graph is how often an edge is drawn.
        """
        shape = (n_batches, n_groups)
        position = torch.rand(shape, dtype=torch.float64, generator=generator, device=generator.device)
        position = position.to(self.cumulative.device)
        edge = torch.searchsorted(self.cumulative, position, right=True).clamp_(max=len(self.cumulative) - 1)
        return self.edges[edge.to(self.edges.device)], self.weights.expand(*shape, 2, 2)


class NeighborhoodSampler:
    """Draws rows, each with its strongest neighbours in the graph.

    All edges of the graph between the members of such a neighbourhood count, so that a row once encoded takes part in
    many edges, where end points of single edges take part in one. Edges that many neighbourhoods hold, those of tight
    groups, come more often than their weight alone would have it.

    Parameters
    ----------
    graph : Graph or csr_array of shape (n_samples, n_samples), float32
        Symmetric weights.
    device : torch.device
        Where the draws are made and wanted.
    size : int, default=16
        Number of members at most, the row itself counted. A row of fewer neighbours fills the rest with itself.
    n_drawn : int or None, default=None
        Of the rows only so many are drawn, the first ones; None draws all.

    Attributes
    ----------
    group_size : int
        Number of members.
    n_groups : int
        Number of neighbourhoods: one of each row that may be drawn.
    """

    def __init__(self, graph, device, size=NEIGHBORHOOD_SIZE, n_drawn=None):
        graph = Graph.of(graph, device)
        self.members = _strongest(graph, size)[:n_drawn]
        self.tails, self.weights = _each_edge_once(graph)
        self.n_groups, self.group_size = self.members.shape
        self.within = None
        if self.n_groups <= KEPT_ROWS:
            self.within = torch.cat([self._weights_within(members) for members in self.members.split(FOUND_ROWS)])
            del self.tails, self.weights

    def draw(self, n_batches, n_groups, generator):
        """Draw neighbourhoods.

        Parameters
        ----------
        n_batches, n_groups : int
            Number of batches, and of neighbourhoods in each.
        generator : torch.Generator
            Source of randomness, on the sampler's device.

        Returns
        -------
        members : Tensor of shape (n_batches, n_groups, group_size), int64
            The rows of every neighbourhood, first the one that was drawn.
        weights : Tensor of shape (n_batches, n_groups, group_size, group_size), float32
            The weights of the edges between them, symmetric.
        """
        n_drawn = n_batches * n_groups
        seeds = torch.randint(len(self.members), (n_drawn,), generator=generator, device=generator.device)
        seeds = seeds.to(self.members.device)
        members = self.members.index_select(0, seeds)
        weights = self._weights_within(members) if self.within is None else self.within.index_select(0, seeds)
        groups = n_batches, n_groups, self.group_size
        return members.view(groups), weights.view(*groups, self.group_size)

    def _weights_within(self, members):
        """The weights between the members of each group: every edge of a member is looked up among the others."""
        n_groups, size = members.shape
        ordered, order = members.sort(dim=1)
        tails = self.tails[members.flatten()].view(n_groups, -1)
        place = torch.searchsorted(ordered, tails).clamp_(max=size - 1)
        found = ordered.gather(1, place) == tails
        weight = self.weights[members.flatten()].view(n_groups, -1) * found
        head = torch.arange(size, device=members.device).repeat_interleave(self.tails.shape[1])
        within = torch.zeros(n_groups, size * size, dtype=torch.float32, device=members.device)
        within.scatter_add_(1, head * size + order.gather(1, place), weight)
        within = within.view(n_groups, size, size)
        within[:, 1:] *= (members[:, 1:] != members[:, :1]).unsqueeze(2)  # what fills up counts once
        return within + within.transpose(1, 2)


class WholeSampler:
    """Gives all rows as one group, every time: nothing is drawn.

    Parameters
    ----------
    graph : Graph or csr_array of shape (n_samples, n_samples), float32
        Symmetric weights.
    device : torch.device
        Where they are wanted.

    Attributes
    ----------
    group_size : int
        Number of rows.
    n_groups : int
        1.
    """

    n_groups = 1

    def __init__(self, graph, device):
        graph = Graph.of(graph, device)
        self.group_size = len(graph)
        self.members = torch.arange(len(graph), device=device)
        self.weights = torch.zeros((len(graph), len(graph)), device=device)
        self.weights[graph.heads, graph.ends.long()] = graph.weights

    def draw(self, n_batches, n_groups, generator):
        """All rows, of shape (n_batches, 1, n_samples), and the graph, (n_batches, 1, n_samples, n_samples)."""
        return self.members.expand(n_batches, 1, -1), self.weights.expand(n_batches, 1, -1, -1)


# By the names that the parameter `sampling` has for them.
SAMPLERS = {"neighborhoods": NeighborhoodSampler, "edges": EdgeSampler}


def _cumulative_shares(weights):
    """The share of the first edge in the sum of all weights, of the first two, and so on: a tensor of float64.

    They are summed as integers: floating-point sums of a GPU are not the same every time.
    """
    unit = 2.0 ** (52 - max(len(weights) - 1, 1).bit_length())  # so that the sum is exact in float64
    weights = weights.double()
    largest = weights.max().clamp(min=torch.finfo(torch.float64).tiny)
    cumulative = (weights / largest * unit).round_().long().cumsum(dim=0).double()
    return cumulative / cumulative[-1]


def _strongest(graph, size):
    """Each row and its `size` - 1 strongest neighbours, a tensor of shape (n_samples, size), int64.

    The edges of every row are sorted by one integer key: a positive float32 is ordered as its bits are.
    """
    own = torch.arange(len(graph), device=graph.device)[:, None]
    if not len(graph.ends):
        return own
    weakness = torch.iinfo(torch.int32).max - graph.weights.view(torch.int32)
    order = (graph.heads * 2**31 + weakness).argsort(stable=True)
    n_columns = min(size - 1, int(graph.degrees.max()))
    neighbors, is_there = _table(graph.starts, graph.ends.index_select(0, order), n_columns)
    return torch.cat([own, torch.where(is_there, neighbors.long(), own)], dim=1)


def _each_edge_once(graph):
    """Every edge at its end of lower degree, where few meet: their other ends and weights, filled up by -1 and 0."""
    heads, degrees = graph.heads, graph.degrees
    of_head, of_tail = degrees.index_select(0, heads), degrees.index_select(0, graph.ends)
    kept = ((of_head < of_tail) | ((of_head == of_tail) & (heads < graph.ends))).nonzero()[:, 0]
    if not len(kept):
        return torch.full((len(graph), 1), -1, device=graph.device), torch.zeros(len(graph), 1, device=graph.device)
    heads, tails, weights = (part.index_select(0, kept) for part in (heads, graph.ends, graph.weights))
    starts = torch.searchsorted(heads, torch.arange(len(graph) + 1, device=graph.device))
    n_columns = int(starts.diff().max())
    tails, is_there = _table(starts, tails, n_columns)
    weights, _ = _table(starts, weights, n_columns)
    return torch.where(is_there, tails.long(), -1), torch.where(is_there, weights, 0)


def _table(starts, values, n_columns):
    """The first values of each row as a table, and which of its cells are such values."""
    columns = torch.arange(n_columns, device=values.device)
    places = starts[:-1, None] + columns
    return values[places.clamp_(max=len(values) - 1)], columns < starts.diff()[:, None]
