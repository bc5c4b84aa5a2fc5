"""Whether a network that is given several texts in one window answers as it does for each text alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.compute.packed import PACKED_INPUTS, are_packed
from instar.compute.projected import Projected
from instar.errors import MismatchError, shortened
from instar.models.modes import in_eval_mode
from instar.models.normalised import Normalised
from instar.models.outputs import logits_of
from instar.seeds import generator

MAX_RELATIVE_DIFFERENCE = 1e-4
"""Largest difference as a share of the largest logit. Rounding makes 1e-6, and a look at another text above 1e-3."""

TEXT_LENGTHS = (3, 4, 2)
"""Tokens of the texts that are packed for the comparison."""


@torch.no_grad()
def refuse_mixed_texts(network: nn.Module, inputs: Inputs, who: str, num_classes: int) -> None:
    """Compare the logits of three texts in one window with those of each text alone.

    Args:
        network: takes tokens and positions by the names of `PACKED_INPUTS`, and returns logits at each position.
        inputs: what its reader has read of packed texts.
        who: "student" or "teacher".
        num_classes: number of tokens.

    Raises:
        MismatchError: when they differ, because the network looks at other texts or counts positions by itself.
    """
    if isinstance(inputs, Tensor) or not are_packed(inputs):
        raise MismatchError(
            f"the {who} reads only a part of {' and '.join(PACKED_INPUTS)}, so it cannot tell the texts of a window "
            "apart; leave out its reader, or data.packing."
        )
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    tokens = torch.randint(num_classes, (1, sum(TEXT_LENGTHS)), generator=generator(0, "packing probe")).to(device)
    positions = torch.cat([torch.arange(length) for length in TEXT_LENGTHS])[None].to(device)
    with in_eval_mode(network):
        try:
            together = _logits(network, tokens, positions)
            texts = zip(tokens.split(TEXT_LENGTHS, 1), positions.split(TEXT_LENGTHS, 1), strict=True)
            alone = torch.cat([_logits(network, *text) for text in texts], 1)
        except Exception as error:  # whatever the network raises
            raise MismatchError(
                f"the {who} does not take {' and '.join(PACKED_INPUTS)}, which several examples in a window need: "
                f"{shortened(error)}; leave out data.packing."
            ) from None
    difference = (together - alone).abs().max()
    if not difference <= MAX_RELATIVE_DIFFERENCE * alone.abs().max():
        raise MismatchError(
            f"the {who} mixes the texts of a window: a logit differs by {difference:.2g} from that of the text alone, "
            f"where the largest logit is {alone.abs().max():.2g}; leave out data.packing, or choose a model whose "
            "attention follows position_ids."
        )


def _logits(network: nn.Module, tokens: Tensor, positions: Tensor) -> Tensor:
    inputs = dict(zip(PACKED_INPUTS, (tokens, positions), strict=True))
    output = network(inputs) if isinstance(network, Normalised) else network(**inputs)
    logits = logits_of(output, 1)
    return logits.logits() if isinstance(logits, Projected) else logits
