"""The training engine: it knows tensors, graphs and phases, and nothing of scikit-learn."""

from .phases import MainEmbedding, SpectralInit
from .rows import as_rows, device_of, embed, feature_gap, to_tensor
from .sampler import EdgeSampler, NeighborhoodSampler
from .surroundings import (
    allotted_threads,
    body_precision,
    device_or_cpu,
    limited_threads,
    new_generator,
    resolve_device,
    surroundings,
)
from .training import train, training_mode

__all__ = [
    "EdgeSampler",
    "MainEmbedding",
    "NeighborhoodSampler",
    "SpectralInit",
    "allotted_threads",
    "as_rows",
    "body_precision",
    "device_of",
    "device_or_cpu",
    "embed",
    "feature_gap",
    "limited_threads",
    "new_generator",
    "resolve_device",
    "surroundings",
    "to_tensor",
    "train",
    "training_mode",
]
