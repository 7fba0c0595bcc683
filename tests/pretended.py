"""A pretended accelerator: torch's `meta` device, whose tensors have shapes and types, but no numbers.

Code that runs on it as it would on a GPU fails here, without one, where it mixes devices, copies between the host and
the device, or waits for a number of the device: ``.item()``, ``nonzero``, a boolean mask as an index, a Python number
put by index.

It cannot see what a kernel computes, whether a kernel exists on CUDA, whether a capture succeeds, autocast (which knows
no `meta` device), or a wait inside of one of torch's own operations. Those are left to the tests marked ``cuda``.
"""

from contextlib import contextmanager

import pytest
import torch
import torch.fx.experimental._config
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from parametric_umap.engine import MainEmbedding, SpectralInit
from parametric_umap.engine.captured import CapturedEpoch

META = torch.device("meta")
aten = torch.ops.aten
WAITS = {aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default}
MADE_ON_THE_HOST = (torch.tensor, torch.as_tensor, torch.asarray)


class Hidden(AssertionError):
    """Work that a GPU would do only after a wait or a copy."""


@contextmanager
def no_hidden_waits():
    """Let everything that waits for the pretended device, or copies to or from it, fail."""
    with _Copies(), _Waits():
        yield


@contextmanager
def known_waits(*answers):
    """Count what waits for the pretended device, in a stage that must: numbers that it asks for are given in turn.

    What ``nonzero`` finds is everything, and what comes to the host is ones. Copies to the device and mixed devices
    fail.

    Yields
    ------
    waits : list of str
        What has waited so far.
    """
    waits = []
    assumed = torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True)
    with assumed, _Copies(), _Answers(waits, iter(answers)), _Waits(waits):
        yield waits


class _Answers(TorchFunctionMode):
    """Gives numbers where some of the pretended device are asked for."""

    asked = {torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.__bool__, torch.Tensor.__int__, torch.equal}

    def __init__(self, waits, answers):
        super().__init__()
        self.waits, self.answers = waits, answers

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self.asked and _is_pretended(args[0]):
            self.waits.append(function.__name__)
            return next(self.answers)
        if function is torch.Tensor.cpu and _is_pretended(args[0]):
            self.waits.append(function.__name__)
            return torch.ones(args[0].shape, dtype=args[0].dtype)
        return function(*args, **(kwargs or {}))


class _Copies(TorchFunctionMode):
    """Tensors that are made of numbers of the host."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in MADE_ON_THE_HOST and _is_pretended(result) and not _is_pretended(args[0]):
            raise Hidden(f"{function.__name__} copies to the device")
        return result


class _Waits(TorchDispatchMode):
    """Operations by which the host waits for the device."""

    def __init__(self, waits=None):
        super().__init__()
        self.waits = waits  # where known ones are counted
        self.numbers = []  # tensors of a Python number, as putting by index makes them

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if any(map(_is_pretended, tensors)):
            self._check(function, args, tensors)
        result = function(*args, **(kwargs or {}))
        if any(map(_is_pretended, tensors)) != _is_pretended(result) and function in (
            aten._to_copy.default,
            aten.copy_.default,
        ):
            raise Hidden(f"{function} copies between the host and the device")
        if function is aten.scalar_tensor.default:
            self.numbers.append(result)
        return result

    def _check(self, function, args, tensors):
        if function in WAITS and self.waits is not None:
            self.waits.append(function.__name__)
        elif function in WAITS:
            raise Hidden(f"{function} waits for the device")
        if any(tensor.ndim and not _is_pretended(tensor) for tensor in tensors):
            raise Hidden(f"{function} takes tensors of the host and of the device")
        if function in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default):
            if any(index is not None and index.dtype == torch.bool for index in args[1]):
                raise Hidden(f"{function} by a mask waits for the device")
            if len(args) > 2 and any(args[2] is number for number in self.numbers):
                raise Hidden(f"{function} of a Python number waits for the device")


def _is_pretended(value):
    return isinstance(value, torch.Tensor) and value.device == META


class Generator(torch.Generator):
    """A source of random numbers on the device: none are drawn."""

    device = META


@pytest.fixture
def pretended(monkeypatch):
    """The device. Autocast does nothing there, an epoch's loss is 0, and neither its steps nor its draws may wait."""
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda device_type, *args, **kwargs: autocast("cpu", *args, **kwargs))
    monkeypatch.setattr(CapturedEpoch, "_take_total", lambda self: 0.0)  # where the host may wait, once in an epoch
    for cls, name in ((CapturedEpoch, "__call__"), (SpectralInit, "draw_epoch"), (MainEmbedding, "draw_epoch")):
        monkeypatch.setattr(cls, name, _guarded(getattr(cls, name)))
    return META


def _guarded(function):
    def guarded(*args):
        with no_hidden_waits():
            return function(*args)

    return guarded
