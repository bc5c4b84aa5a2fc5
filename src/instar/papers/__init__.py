"""Published tables, one file each: the claim, the paper's numbers, ours beside them."""

from instar.papers.catalogue import PAPERS, Paper, run_paper
from instar.papers.table import Table, TableRow

__all__ = ["PAPERS", "Paper", "Table", "TableRow", "run_paper"]
