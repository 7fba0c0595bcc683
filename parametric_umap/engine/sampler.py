"""Edges of the graph, drawn by their weights."""

import numpy as np
import torch


class EdgeSampler:
    """Draws edges with replacement, each with a probability proportional to its weight.

    Parameters
    ----------
    graph : csr_array of shape (n_samples, n_samples), float
        Symmetric weights.
    device : torch.device
        Where the draws are made and wanted.
    """

    def __init__(self, graph, device):
        cumulative = np.cumsum(graph.data, dtype=np.float64)
        self.heads = torch.from_numpy(np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))).to(device)
        self.tails = torch.from_numpy(graph.indices.astype(np.int64)).to(device)
        self.cumulative = torch.from_numpy(cumulative / cumulative[-1]).to(device)

    def draw(self, shape, generator):
        """Draw edges.

        Parameters
        ----------
        shape : tuple of int
            Number of edges along each axis.
        generator : torch.Generator
            Source of randomness, on the sampler's device.

        Returns
        -------
        heads, tails : Tensor of that shape, int64
            The two end points of every edge.
        """
        position = torch.rand(shape, dtype=torch.float64, generator=generator, device=self.cumulative.device)
        edge = torch.searchsorted(self.cumulative, position, right=True).clamp_(max=len(self.cumulative) - 1)
        return self.heads[edge], self.tails[edge]
