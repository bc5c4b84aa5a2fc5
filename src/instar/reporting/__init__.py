"""The report: reads run folders and writes one HTML file. Imports nothing that trains."""

from instar.reporting.groups import Group, GroupComparison, compare_groups, make_groups
from instar.reporting.html import write_report
from instar.runs.rows import RunRow, collect

__all__ = ["Group", "GroupComparison", "RunRow", "collect", "compare_groups", "make_groups", "write_report"]
