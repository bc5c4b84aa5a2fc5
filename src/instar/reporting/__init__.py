"""Run folders in, one HTML file out. Imports nothing that trains."""

from instar.reporting.groups import Comparison, Group, compare, make_groups
from instar.reporting.html import write_report
from instar.runs.rows import Row, collect

__all__ = ["Comparison", "Group", "Row", "collect", "compare", "make_groups", "write_report"]
