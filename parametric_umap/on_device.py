"""Values of several tensors, which move between devices together and are kept as arrays."""

from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
import torch

from .containers import as_numpy, as_tensor


class OnDevice:
    """A frozen dataclass of tensors that lie on one device.

    A pickle of it, and so what `memory` keeps and hashes, holds ndarrays, and is read on the CPU. Arrays may be
    read-only, so nobody writes to the tensors.

    Attributes
    ----------
    dtypes : tuple of type
        NumPy's types of the fields, in their order.
    """

    dtypes: ClassVar[tuple[type, ...]]

    @classmethod
    def of_arrays(cls, *arrays: Any, device: str | torch.device = "cpu") -> Self:
        """Put arrays on a device, one for each field, in its type."""
        typed = (np.ascontiguousarray(*array_and_dtype) for array_and_dtype in zip(arrays, cls.dtypes, strict=True))
        return cls(*(as_tensor(array).to(device) for array in typed))

    @property
    def device(self):
        """Where the tensors are."""
        return getattr(self, fields(self)[0].name).device

    def to(self, device):
        """The same value on a device; itself, if it is there."""
        device = torch.device(device)
        if self.device == device:
            return self
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))

    def arrays(self):
        """The tensors as ndarrays, which may share their memory; a tuple in the order of the fields."""
        return tuple(as_numpy(getattr(self, field.name)) for field in fields(self))

    def __getstate__(self):
        # The kind of device is there since another one would have rounded otherwise.
        return (self.device.type, *self.arrays())

    def __setstate__(self, state):
        for field, array in zip(fields(self), state[1:], strict=True):
            object.__setattr__(self, field.name, as_tensor(array))


def float64_device(device: str | torch.device) -> torch.device:
    """Say where float64 is computed.

    Parameters
    ----------
    device : str or torch.device
        Where something is.

    Returns
    -------
    device : torch.device
        The same, or the CPU for MPS, which has no float64.
    """
    device = torch.device(device)
    return torch.device("cpu") if device.type == "mps" else device
