"""Padding behind a mask: whether a model of Transformers ignores it, and batches by length where it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from instar.errors import MismatchError
from instar.models.length_parts import LengthPart, calling

Call = Callable[[Mapping[str, Tensor]], Tensor]
"""Returns the logits of inputs by name, `[batch, classes]` or `[batch, position, classes]`."""


@torch.no_grad()
def ignores_padding(model: Any, alone: Mapping[str, Tensor], padded: Mapping[str, Tensor], tolerance: float) -> bool:
    """Return whether a model has the same logits for a sample and for the same sample with padding behind its mask.

    It is tried, because the settings of a model mean what its class makes of them.

    Args:
        model: model of Transformers.
        alone: arguments of the model for one sample, by name.
        padded: the same with padding, and with a mask.
        tolerance: largest difference of the logits, relative to the largest of them; the weights may be new, and tiny.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.random.fork_rng():  # some layers draw numbers in eval mode too
            one, other = model(**alone).logits, model(**padded).logits
            difference = (other[:, : one.shape[1]] - one).abs().max()
            return bool(difference <= tolerance * one.abs().max())
    except Exception:  # it takes other arguments, no mask, or no sample of this length
        return False
    finally:
        model.train(was_training)


def call_by_length(call: Call, inputs: Mapping[str, Tensor], mask: Tensor) -> Tensor:
    """Return the logits of samples, computed for those of each length by themselves, without padding.

    Args:
        call: calls the model.
        inputs: `[batch, position, ...]` by name.
        mask: which positions are no padding, bool `[batch, position]`, at least one of each sample.

    Raises:
        MismatchError: when the model is traced for an export, because the lengths are then those of the trace.

    >>> mask = torch.tensor([[True, False], [True, True]])
    >>> call_by_length(lambda given: given["x"].sum(1, keepdim=True), {"x": torch.tensor([[1, 8], [2, 3]])}, mask)
    tensor([[1],
            [5]])
    """
    if torch.compiler.is_exporting():
        raise MismatchError(  # as long as what a refused export shows of it
            "padding changes its logits, so each length is computed by itself, which no graph can; use --to "
            "transformers or hub"
        )
    lengths = mask.sum(1)
    rows: list[Tensor] = []
    logits: list[Tensor] = []
    for length in lengths.unique().tolist():
        chosen = (lengths == length).nonzero()[:, 0]
        valid = mask[chosen]
        given = {name: one[chosen][valid].unflatten(0, (len(chosen), length)) for name, one in inputs.items()}
        rows.append(chosen)
        with calling(LengthPart(chosen, valid)):
            logits += call(given).unbind()
    # logits of positions are as many as those of the longest
    return pad_sequence(logits, batch_first=True)[torch.cat(rows).argsort()]
