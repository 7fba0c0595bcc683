"""torch's global settings during a fit, which are left as they were found."""

from contextlib import ExitStack, contextmanager

import torch

from ..threads import limited_threads

# The largest block from which glibc learns.
KEPT_BYTES = 2**25 - 2**16


@contextmanager
def torch_settings(device, n_threads=None, seed=None):
    """Set torch up for training, and put everything back afterwards.

    Parameters
    ----------
    device : torch.device
        Random state of this device is seeded and restored. What was taken of a CUDA device's memory is given back to
        whoever shares it.
    n_threads : int or None, default=None
        Number of threads of torch and of OpenMP on the CPU; None leaves it alone.
    seed : int or None, default=None
        Seed for torch's global random state, for modules that draw from it, such as dropout; None does not touch it.
    """
    # The C library gives freed memory back to the system, to be had anew page by page, unless it has seen a larger
    # block freed: without this the loss of a batch takes twice as long.
    torch.empty(KEPT_BYTES, dtype=torch.uint8)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(limited_threads(n_threads))
        if device.type == "cuda":
            stack.callback(torch.cuda.empty_cache)
        if seed is not None:
            stack.callback(torch.set_rng_state, torch.get_rng_state())
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":  # only on a GPU
                stack.callback(torch.cuda.set_rng_state, torch.cuda.get_rng_state(device), device)
                torch.cuda.default_generators[device.index].manual_seed(seed)
            elif device.type == "mps":  # only on a GPU
                stack.callback(torch.mps.set_rng_state, torch.mps.get_rng_state())
                torch.mps.manual_seed(seed)
        yield
