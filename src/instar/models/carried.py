"""How training and teachers call a network: with its hidden state, and without logits where it can leave them out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from instar.data import Batch
from instar.errors import MismatchError

State = tuple[Tensor, ...]
"""Tensors `[batch, ...]`; none at all where nothing was read before."""


def carries_state(network: nn.Module) -> bool:
    """Whether a network has a hidden state: called with one, it returns its logits and the state after them."""
    return bool(getattr(network, "carries_state", False))


class Carried:
    """Calls a network, and where it is recurrent, goes on from the state in which the window before left it.

    A network of many classes may have `projects`: called with `project=True`, it returns hidden states and its last
    layer, `Projected`, in place of logits.

    A state belongs to the id of the last window that was read, so it cannot be used for another. At the beginning of
    every pass there is none. Gradients end where a state is carried over: truncated back-propagation (Williams and
    Peng 1990).

    Args:
        network: whose state this is.
    """

    def __init__(self, network: nn.Module) -> None:
        self._carries = carries_state(network)
        self._options = {"project": True} if getattr(network, "projects", False) else {}
        self._states: dict[tuple[int, ...], State] = {}
        self._place = math.inf  # where the last part began that began a pass

    def __call__(self, network: Callable[..., Any], inputs: Tensor, batch: Batch) -> Any:
        """Return what the network makes of the inputs of a batch.

        Args:
            network: as it is to be called: itself, compiled, or shared by processes.
            inputs: of the batch, `[batch, ...]`.
            batch: says which samples they are.

        Raises:
            MismatchError: when the samples do not go on where the last ones that were seen ended.
        """
        if not self._carries or batch.origin is None or not batch.origin.samples.source.is_stream:
            return network(inputs, **self._options)
        ids = tuple(batch.host_ids)
        output, state = network(inputs, self._before(batch, ids), **self._options)
        self._states[ids] = tuple(tensor.detach() for tensor in state)
        return output

    def _before(self, batch: Batch, ids: tuple[int, ...]) -> State:
        if batch.begins:
            if batch.place <= self._place:  # the first part of a pass, in this process
                self._states.clear()
            self._place = batch.place
            return ()
        wanted = tuple(index - 1 for index in ids)
        if wanted in self._states:
            return self._states.pop(wanted)
        for known, state in self._states.items():  # batches at the end of a pass have fewer rows
            if set(wanted) <= set(known):
                rows = torch.tensor([known.index(index) for index in wanted], device=state[0].device)
                return tuple(tensor[rows] for tensor in state)
        last = [index for known in self._states for index in known]
        raise MismatchError(
            f"the hidden state is that after windows {last[:8]} of a stream, and the batch begins with windows "
            f"{list(ids[:8])}, which do not follow them."
        )

    def tensors(self) -> dict[str, Tensor]:
        """Return the states for a checkpoint, `[rows, ...]`, and whose they are; nothing where there is none."""
        if not self._states:
            return {}
        rows = [(torch.tensor(ids, device=state[0].device), *state) for ids, state in self._states.items()]
        ids, *state = (torch.cat(column) for column in zip(*rows, strict=True))
        return {"ids": ids} | {str(number): tensor for number, tensor in enumerate(state)}

    def load(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        """Take up the states of a checkpoint, of which a process may need some rows only."""
        self._states.clear()
        self._place = math.inf  # the next pass begins with nothing of these
        if tensors:
            state = tuple(tensors[str(number)].to(device) for number in range(len(tensors) - 1))
            self._states[tuple(tensors["ids"].tolist())] = state
