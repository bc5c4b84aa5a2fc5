"""How training and teachers call a network: with its hidden state, and with a request for `Projected` logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs, call_network
from instar.data.batch import Batch
from instar.errors import MismatchError
from instar.models.architecture import HiddenState, TextNetwork
from instar.models.normalised import Normalised, unwrap


class Carried:
    """Caller of a network that carries its hidden state from one window of a text to the next.

    A `TextNetwork` with many classes may have `projects`; it is then called with `project=True` and returns `Projected`
    (hidden states and its output layer) in place of logits.

    Each pass starts without a state. Gradients stop at the border of two windows: truncated back-propagation (Williams
    and Peng 1990).

    Args:
        network: network whose state is carried.
    """

    def __init__(self, network: nn.Module) -> None:
        inner = unwrap(network)
        self._takes_mapping = isinstance(network, Normalised)
        self._carries = isinstance(inner, TextNetwork) and inner.carries_state
        self._options = {"project": True} if isinstance(inner, TextNetwork) and inner.projects else {}
        # by the ids of the windows that were read last, so that no other window continues from them; a micro-batch each
        self._states: dict[tuple[int, ...], HiddenState] = {}
        self._place = math.inf  # place of the latest batch that began a pass

    def __call__(self, network: Callable[..., Any], inputs: Inputs, batch: Batch) -> Any:
        """Return the network's output for the inputs of a batch.

        Args:
            network: the network, or its compiled or distributed form.
            inputs: inputs of the batch, `[batch, ...]` each; several are passed to a user's network by keyword.
            batch: batch with the ids of the samples.

        Raises:
            MismatchError: when the windows do not follow those of the previous batch.
        """
        if not self._carries or batch.origin is None or not batch.origin.samples.source.task.is_stream:
            if self._takes_mapping:  # `Normalised` passes it on by keyword, once its reader has chosen the names
                return network(inputs, **self._options)
            return call_network(network, inputs, **self._options)
        ids = tuple(batch.host_ids)
        output, state = network(inputs, self._previous_state(batch, ids), **self._options)
        self._states[ids] = tuple(tensor.detach() for tensor in state)
        return output

    def _previous_state(self, batch: Batch, ids: tuple[int, ...]) -> HiddenState:
        if batch.begins:
            # the first micro-batch of a pass in this process; later ones must not clear the states of the earlier
            if batch.place <= self._place:
                self._states.clear()
            self._place = batch.place
            return ()
        wanted = tuple(index - 1 for index in ids)
        if wanted in self._states:
            return self._states.pop(wanted)
        # the last batches of a pass have fewer rows, and after resuming all rows are under one key
        for known, state in self._states.items():
            if set(wanted) <= set(known):
                rows = torch.tensor([known.index(index) for index in wanted], device=state[0].device)
                return tuple(tensor[rows] for tensor in state)
        last = [index for known in self._states for index in known]
        raise MismatchError(
            f"the batch starts with windows {list(ids[:8])} of a text, but the hidden state belongs to windows "
            f"{last[:8]}, which do not come before them."
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the states for a checkpoint, `[rows, ...]`, with the ids of their windows; empty without a state."""
        if not self._states:
            return {}
        rows = [(torch.tensor(ids, device=state[0].device), *state) for ids, state in self._states.items()]
        ids, *state = (torch.cat(column) for column in zip(*rows, strict=True))
        return {"ids": ids} | {str(number): tensor for number, tensor in enumerate(state)}

    def load(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Restore the states of a checkpoint, with the rows of all processes."""
        self._states.clear()
        self._place = math.inf  # so that the next pass clears these states
        if tensors:
            state = tuple(tensors[str(number)].to(device) for number in range(len(tensors) - 1))
            self._states[tuple(tensors["ids"].tolist())] = state
