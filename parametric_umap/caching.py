"""What earlier fits have found is looked up: the parameter `memory`, as scikit-learn's pipelines have it."""

from inspect import signature


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
        It takes the same arguments. Its result may be read-only, and mapped from a file, as `memory` says.
    """
    if any(map(callable, metrics)):
        return stage
    irrelevant = [] if seeded or "random_state" not in signature(stage).parameters else ["random_state"]
    return memory.cache(stage, ignore=irrelevant)
