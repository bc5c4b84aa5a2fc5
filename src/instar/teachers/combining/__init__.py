"""Combines the predictions of a generalist and of specialists into one distribution over all classes."""

from instar.teachers.combining.combination import Divergence, combine_opinions
from instar.teachers.combining.opinion import MIN_LOG_PROBABILITY, Opinion

__all__ = ["MIN_LOG_PROBABILITY", "Divergence", "Opinion", "combine_opinions"]
