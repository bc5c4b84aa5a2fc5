"""Trees and forests as arrays of their nodes: predictions, safe files, and what can be computed from them."""

from instar.trees.arrays import TreeArrays
from instar.trees.as_estimators import to_scikit_learn
from instar.trees.born_again import make_born_again_tree
from instar.trees.equality import Equality, equal
from instar.trees.faithful import grow_faithful_tree
from instar.trees.files import read_trees, write_trees
from instar.trees.growing import GrownTree, grow_on_manufactured_rows
from instar.trees.pruning import prune_empty_splits
from instar.trees.reading import as_trees
from instar.trees.voting import let_trees_vote

__all__ = [
    "Equality",
    "GrownTree",
    "TreeArrays",
    "as_trees",
    "equal",
    "grow_faithful_tree",
    "grow_on_manufactured_rows",
    "let_trees_vote",
    "make_born_again_tree",
    "prune_empty_splits",
    "read_trees",
    "to_scikit_learn",
    "write_trees",
]
