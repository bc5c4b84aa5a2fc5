"""Columns: what samples have beside their inputs."""

from instar.data.columns.held import INPUTS, Held

__all__ = ["INPUTS", "Held"]
