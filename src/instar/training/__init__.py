"""The loop, and what it is made of."""

from instar.training.bias import labelled_offset, prior_offset, shift_logits
from instar.training.evaluate import judge, predict, read_at_once
from instar.training.loop import fit
from instar.training.optimise import make_optimiser
from instar.training.progress import ProgressBar
from instar.training.step import part_sizes, share_of

__all__ = [
    "ProgressBar",
    "fit",
    "judge",
    "labelled_offset",
    "make_optimiser",
    "part_sizes",
    "predict",
    "prior_offset",
    "read_at_once",
    "share_of",
    "shift_logits",
]
