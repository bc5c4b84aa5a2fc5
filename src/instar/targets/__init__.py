"""Soft targets: what teachers answer with and terms learn from."""

from instar.targets.targets import DenseTargets, MixtureTargets, Targets

__all__ = ["DenseTargets", "MixtureTargets", "Targets"]
