"""The connected components of a graph."""

import torch
from scipy.sparse.csgraph import connected_components

from ..graph import Graph


def component_of_nodes(graph: Graph) -> torch.Tensor:
    """Number the connected components of a graph.

    Parameters
    ----------
    graph : Graph
        Symmetric.

    Returns
    -------
    component : Tensor of shape (n_nodes,), int64
        Of each node; they are numbered by their first nodes, from 0 on.
    """
    if graph.device.type == "cpu":  # where SciPy's search is several times as quick as the rounds below
        return torch.from_numpy(connected_components(graph.to_scipy(), directed=False)[1]).long()
    return first_nodes(graph).unique(return_inverse=True)[1]


def first_nodes(graph: Graph) -> torch.Tensor:
    """Find the first node of each node's component.

    Every node points at a node before it, or at itself; in each round nodes are hooked to the first one that a
    neighbour points at, and pointers are doubled (FastSV: Zhang, Azad, Buluç 2020). Rounds grow with the logarithm of
    the nodes, and each ends with a wait.

    Parameters
    ----------
    graph : Graph
        Symmetric.

    Returns
    -------
    first : Tensor of shape (n_nodes,), int64
        The least index of a node in the same component.
    """
    heads = graph.heads
    parent = torch.arange(len(graph), device=graph.device)
    while True:
        grandparent = parent.index_select(0, parent)
        least = grandparent.scatter_reduce(0, heads, grandparent.index_select(0, graph.ends), "amin")
        hooked = parent.scatter_reduce(0, parent, least, "amin")
        following = torch.minimum(torch.minimum(hooked, least), grandparent)
        if torch.equal(following, parent):
            return parent
        parent = following
