"""What earlier fits have found is looked up: the parameter `memory`, as scikit-learn's pipelines have it."""

from functools import wraps
from inspect import signature

import torch

from .containers import as_numpy


def cached(stage, memory, *metrics, seeded=True):
    """Let a stage of a fit look its result up, and leave it for later fits.

    Parameters
    ----------
    stage : callable
        A pure function of arrays, settings and a seed, defined in a module.
    memory : joblib.Memory
        Where results are kept; with the location None nowhere, and nothing is hashed.
    *metrics : str or callable
        The distances that the stage measures. What a function does its name does not tell, nor would an edited one be
        known from its former self: a stage that calls one always runs.
    seeded : bool, default=True
        Whether the result must be that of the stage's own `random_state`; else that of any will do.

    Returns
    -------
    stage : callable
        It takes the same arguments, and is given tensors as arrays, which are the same wherever they come from. Its
        result may be mapped from a file, as `memory` says.
    """
    if any(map(callable, metrics)) or getattr(memory, "location", "somewhere") is None:
        return stage
    irrelevant = [] if seeded or "random_state" not in signature(stage).parameters else ["random_state"]
    looked_up = memory.cache(stage, ignore=irrelevant)

    @wraps(stage)
    def on_arrays(*arguments, **settings):
        return looked_up(*(as_numpy(x) if isinstance(x, torch.Tensor) else x for x in arguments), **settings)

    return on_arrays
