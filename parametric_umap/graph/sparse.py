"""A graph as sparse rows of tensors."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch

from ..on_device import OnDevice


@dataclass(frozen=True, eq=False)
class Graph(OnDevice):
    """A graph whose edges have weights, each of them stored at both of its ends, as a sparse matrix by rows.

    Attributes
    ----------
    starts : Tensor of shape (n_nodes + 1,), int64
        Where the edges of each node begin, and where the last ones end.
    ends : Tensor of shape (n_stored,), int32
        The other ends of the edges of the first node, rising, then of the second, and so on.
    weights : Tensor of shape (n_stored,), float32
        Their weights; float64 where eigenvectors are found.
    """

    starts: torch.Tensor
    ends: torch.Tensor
    weights: torch.Tensor
    dtypes = np.int64, np.int32, np.float32

    @classmethod
    def of(cls, graph: "Graph | sp.csr_array", device: str | torch.device = "cpu") -> "Graph":
        """Put a graph on a device.

        Parameters
        ----------
        graph : Graph or csr_array of shape (n_nodes, n_nodes), float
            Symmetric.
        device : str or torch.device, default="cpu"
            Where it is wanted.

        Returns
        -------
        graph : Graph
            The same there; what is stored keeps its order.
        """
        if isinstance(graph, Graph):
            return graph.to(device)
        return cls.of_arrays(graph.indptr, graph.indices, graph.data, device=device)

    def to_scipy(self) -> sp.csr_array:
        """The same as a sparse matrix on the host.

        Returns
        -------
        graph : csr_array of shape (n_nodes, n_nodes), of the type of the weights
            It may share the memory of the tensors.
        """
        starts, ends, weights = self.arrays()
        if len(ends) <= np.iinfo(np.int32).max:  # else SciPy would make the ends as wide as the starts
            starts = starts.astype(np.int32)
        return sp.csr_array((weights, ends, starts), shape=(len(self), len(self)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def degrees(self) -> torch.Tensor:
        """How many edges are stored at each node: a tensor of shape (n_nodes,), int64."""
        return self.starts.diff()

    @property
    def heads(self) -> torch.Tensor:
        """The node at which each edge is stored: a tensor of shape (n_stored,), int64."""
        nodes = torch.arange(len(self), device=self.device)
        return nodes.repeat_interleave(self.degrees, output_size=len(self.ends))
