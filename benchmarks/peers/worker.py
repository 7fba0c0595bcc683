"""What every method's process does: load, fit, map unseen rows, save both maps and what they took."""

import json
import sys
import time

import numpy as np
from data import load
from record import peak_memory, versions


def work(fit):
    """Run a method as ``python METHOD.py DATA OUTPUT SEED``.

    Parameters
    ----------
    fit : callable
        Fits rows, ndarray of shape (n_samples, n_features), by a seed, and returns their positions and the function
        that maps new rows to theirs.
    """
    data, output, seed = sys.argv[1:]
    X, _, X_unseen, _ = load(data)

    start = time.perf_counter()
    Z, transform = fit(X, int(seed))
    fitted = time.perf_counter()
    fit_peak_bytes = peak_memory()

    start_transform = time.perf_counter()
    Z_unseen = transform(X_unseen)
    took = {
        "fit_seconds": fitted - start,
        "transform_seconds": time.perf_counter() - start_transform,
        "fit_peak_bytes": fit_peak_bytes,
        "peak_bytes": peak_memory(),
        "versions": versions(),
    }
    np.savez(output, Z=np.asarray(Z), Z_unseen=np.asarray(Z_unseen), took=json.dumps(took))
