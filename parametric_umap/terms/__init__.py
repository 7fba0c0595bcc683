"""What the second phase may be asked for beside the graph: modules that map an `EncodedBatch` to a loss."""

from .correlation import GlobalCorrelation
from .density import Density, embedded_log_radii, log_radii
from .landmarks import Landmarks, checked_landmarks, positions_between
from .reconstruction import RECONSTRUCTION_LOSSES, Reconstruction, ReconstructionCurve, validation_rows

__all__ = [
    "RECONSTRUCTION_LOSSES",
    "Density",
    "GlobalCorrelation",
    "Landmarks",
    "Reconstruction",
    "ReconstructionCurve",
    "checked_landmarks",
    "embedded_log_radii",
    "log_radii",
    "positions_between",
    "validation_rows",
]
