"""Values of several tensors, which move between devices together and are kept as arrays."""

from dataclasses import fields

import numpy as np
import torch

from .containers import as_numpy


class OnDevice:
    """A frozen dataclass of tensors that lie on one device.

    A pickle of it, and so what `memory` keeps and hashes, holds ndarrays: it is the same whatever the device was, and
    is read on the CPU.
    """

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

    def __getstate__(self):
        return {field.name: as_numpy(getattr(self, field.name)) for field in fields(self)}

    def __setstate__(self, arrays):
        for name, array in arrays.items():  # what was looked up may be read-only
            object.__setattr__(self, name, torch.from_numpy(np.require(array, requirements="W")))
