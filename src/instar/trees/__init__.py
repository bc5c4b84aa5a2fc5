"""Trees and forests as arrays of their nodes: predictions, safe files, and what can be computed from them."""

from instar.trees.arrays import TreeArrays
from instar.trees.born_again import make_born_again_tree
from instar.trees.equality import Equality, equal
from instar.trees.files import read_trees, write_trees
from instar.trees.reading import as_trees

__all__ = ["Equality", "TreeArrays", "as_trees", "equal", "make_born_again_tree", "read_trees", "write_trees"]
