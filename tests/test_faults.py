"""A small share of what `benchmarks/faults.py` does on purpose: nothing hangs, nothing is silently wrong."""

import warnings

import faults
import numpy as np
import pytest

N_TRIES = {
    "odd inputs": 60,
    "random fits": 15,
    "interrupts": 6,
    "kill -9": 4,
    "damaged files": 100,
    "side by side": 100,
    "memory limits": 3,
    "a full GPU": 3,
}


@pytest.mark.parametrize("name", faults.FAULTS)
def test_what_goes_wrong_does_no_harm(name):
    tried_by, *_ = faults.FAULTS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = list(tried_by(N_TRIES[name], np.random.default_rng(0)))
    assert outcomes == N_TRIES[name] * [None]
