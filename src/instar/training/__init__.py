"""The loop, and what it is made of."""

from instar.training.bias import labelled_offset, prior_offset, shift_logits
from instar.training.loop import fit
from instar.training.optimise import make_optimiser
from instar.training.progress import ProgressBar
from instar.training.scoring import choose_batch_size, judge, predict
from instar.training.step import part_sizes, share_batch

__all__ = [
    "ProgressBar",
    "choose_batch_size",
    "fit",
    "judge",
    "labelled_offset",
    "make_optimiser",
    "part_sizes",
    "predict",
    "prior_offset",
    "share_batch",
    "shift_logits",
]
