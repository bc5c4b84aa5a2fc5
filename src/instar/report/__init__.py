"""Run folders in, one HTML file out. Imports nothing that trains."""

from instar.report.collect import Row, collect
from instar.report.groups import Comparison, Group, compare, make_groups
from instar.report.html import write_report

__all__ = ["Comparison", "Group", "Row", "collect", "compare", "make_groups", "write_report"]
