"""What a batch is made of: groups of rows, and the weights of the graph's edges within each group."""

import numpy as np
import torch

from ..graph import Graph

NEIGHBORHOOD_SIZE = 16


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
    """

    group_size = 2

    def __init__(self, graph, device):
        graph = Graph.of(graph, device).to_scipy()
        cumulative = np.cumsum(graph.data, dtype=np.float64)
        edges = np.stack([_heads(graph), graph.indices], axis=1)
        self.edges = torch.from_numpy(edges.astype(np.int64)).to(device)
        self.cumulative = torch.from_numpy(cumulative / cumulative[-1]).to(device)
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
        shape, device = (n_batches, n_groups), self.cumulative.device
        position = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
        edge = torch.searchsorted(self.cumulative, position, right=True).clamp_(max=len(self.cumulative) - 1)
        return self.edges[edge], self.weights.expand(*shape, 2, 2)


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

    Attributes
    ----------
    group_size : int
        Number of members.
    """

    def __init__(self, graph, device, size=NEIGHBORHOOD_SIZE):
        graph = Graph.of(graph, device).to_scipy()
        members = _strongest(graph, size)
        tails, weights = _each_edge_once(graph)
        self.group_size = members.shape[1]
        self.members, self.tails, self.weights = (torch.from_numpy(x).to(device) for x in (members, tails, weights))

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
        seeds = torch.randint(len(self.members), (n_drawn,), generator=generator, device=self.members.device)
        members = self.members.index_select(0, seeds)
        weights = self._weights_within(members).view(n_batches, n_groups, self.group_size, self.group_size)
        return members.view(n_batches, n_groups, self.group_size), weights

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


# By the names that the parameter `sampling` has for them.
SAMPLERS = {"neighborhoods": NeighborhoodSampler, "edges": EdgeSampler}


def _heads(graph):
    return np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))


def _strongest(graph, size):
    """Each row and its `size` - 1 strongest neighbours, as an array of shape (n_samples, size), int64."""
    own = np.arange(graph.shape[0])
    heads = _heads(graph)
    order = np.argsort(heads - graph.data / (2 * graph.data.max(initial=1)), kind="stable")
    rank = np.arange(len(heads)) - graph.indptr[heads] + 1
    kept = rank < size
    members = np.repeat(own[:, None], min(size, rank.max(initial=1) + 1), axis=1)
    members[heads[kept], rank[kept]] = graph.indices[order][kept]
    return members


def _each_edge_once(graph):
    """Every edge at its end of lower degree, where few meet: their other ends and weights, filled up by -1 and 0."""
    n = graph.shape[0]
    heads, tails = _heads(graph), graph.indices
    degree = np.diff(graph.indptr)
    kept = np.flatnonzero((degree[heads] < degree[tails]) | ((degree[heads] == degree[tails]) & (heads < tails)))
    heads, tails, weights = heads[kept], tails[kept], graph.data[kept]
    first = np.searchsorted(heads, np.arange(n))
    rank = np.arange(len(heads)) - first[heads]
    table = np.full((n, rank.max(initial=0) + 1), -1, dtype=np.int64)
    table[heads, rank] = tails
    weight = np.zeros(table.shape, dtype=np.float32)
    weight[heads, rank] = weights
    return table, weight
