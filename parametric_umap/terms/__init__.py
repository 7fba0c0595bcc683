"""What the second phase may be asked for beside the graph: each a `Term`, which maps an `EncodedBatch` to a loss."""

from .correlation import GlobalCorrelation
from .density import Density, embedded_log_radii, log_radii
from .landmarks import Landmarks, checked_landmarks, positions_between
from .reconstruction import RECONSTRUCTION_LOSSES, Reconstruction, Validation, validation_rows

__all__ = [
    "RECONSTRUCTION_LOSSES",
    "Density",
    "GlobalCorrelation",
    "Landmarks",
    "Reconstruction",
    "Validation",
    "checked_landmarks",
    "embedded_log_radii",
    "log_radii",
    "positions_between",
    "validation_rows",
]
