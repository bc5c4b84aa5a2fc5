"""From a run folder to files that others can use: the student alone, which takes inputs as its data hold them."""

from instar.procedures.exporting.export import FORMATS, TOLERANCE, Exported, export
from instar.procedures.exporting.load import load

__all__ = ["FORMATS", "TOLERANCE", "Exported", "export", "load"]
