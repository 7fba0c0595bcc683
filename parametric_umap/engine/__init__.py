"""The training engine: it knows tensors, graphs and phases, and nothing of scikit-learn."""

from .devices import body_precision, device_or_cpu, new_generator, resolve_device
from .phases import MainEmbedding, SpectralInit, Term
from .rows import as_rows, chunks_on, embed, feature_gap, placed_rows
from .sampler import SAMPLERS, EdgeSampler, NeighborhoodSampler, WholeSampler
from .together import TrainingTogether, main_embedding_together
from .torch_settings import torch_settings
from .training import Training, train, training_mode

__all__ = [
    "SAMPLERS",
    "EdgeSampler",
    "MainEmbedding",
    "NeighborhoodSampler",
    "SpectralInit",
    "Term",
    "Training",
    "TrainingTogether",
    "WholeSampler",
    "as_rows",
    "body_precision",
    "chunks_on",
    "device_or_cpu",
    "embed",
    "feature_gap",
    "main_embedding_together",
    "new_generator",
    "placed_rows",
    "resolve_device",
    "torch_settings",
    "train",
    "training_mode",
]
