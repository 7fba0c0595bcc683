"""The neighbours of every row, as found or given."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..on_device import OnDevice
from ..typing import FloatArray


@dataclass(frozen=True, eq=False)
class Neighbors(OnDevice):
    """The neighbours of every row.

    Attributes
    ----------
    indices : Tensor of shape (n_samples, n_neighbors), int32
        By rising distance, the row itself first; -1 for none.
    distances : Tensor of shape (n_samples, n_neighbors), float32
        Their distances; 0 for the row itself, infinite for none.
    """

    indices: torch.Tensor
    distances: torch.Tensor
    dtypes = np.int32, np.float32

    @classmethod
    def of(
        cls, indices: NDArray[np.integer], distances: NDArray[np.floating], device: str | torch.device = "cpu"
    ) -> Self:
        """Put neighbours on a device.

        Parameters
        ----------
        indices : ndarray of shape (n_samples, n_neighbors), int
            By rising distance, the row itself first; -1 for none.
        distances : ndarray of shape (n_samples, n_neighbors), float
            Their distances.
        device : str or torch.device, default="cpu"
            Where they are wanted.

        Returns
        -------
        neighbors : Neighbors
            The same there.
        """
        return cls.of_arrays(indices, distances, device=device)

    def numpy(self) -> tuple[NDArray[np.int32], FloatArray]:
        """The same on the host.

        Returns
        -------
        indices, distances : ndarray of shape (n_samples, n_neighbors), int32 and float32
            They may share the memory of the tensors.
        """
        indices, distances = self.arrays()
        return indices, distances
