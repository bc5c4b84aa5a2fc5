"""What `instar tune` is made of: the cells of its grid, the search among them, and what that found."""

from instar.procedures.tuning.cells import Cell, Criterion, Setting
from instar.procedures.tuning.search import TEMPERATURES, WEIGHTS, Search
from instar.procedures.tuning.tuned import Difference, Tuned

__all__ = ["TEMPERATURES", "WEIGHTS", "Cell", "Criterion", "Difference", "Search", "Setting", "Tuned"]
