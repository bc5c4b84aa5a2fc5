"""One distribution over all classes from a generalist's and from those of specialists that know a few classes each."""

from instar.teachers.combining.combination import Divergence, combine_opinions
from instar.teachers.combining.opinion import MIN_LOG_PROBABILITY, Opinion

__all__ = ["MIN_LOG_PROBABILITY", "Divergence", "Opinion", "combine_opinions"]
