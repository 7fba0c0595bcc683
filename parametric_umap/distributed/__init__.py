"""Fits of several processes that have rows of the same map, by torch.distributed."""

from .group import Group

__all__ = ["Group"]
