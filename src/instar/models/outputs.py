"""What a network leaves: its logits, found in its output, and the outputs of layers that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from instar.compute.projected import Projected
from instar.errors import MismatchError


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network leaves of a batch.

    Args:
        logits: `[batch, ..., classes]`, or `Projected`.
        features: outputs of the layers that were asked for, `[batch, ...]` by name.
    """

    logits: Any
    features: Mapping[str, Tensor] = field(default_factory=dict)


def is_tracing() -> bool:
    """Return whether the network is called to be exported as a graph, and not to predict."""
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # torch has no types for it
    return traced or torch.compiler.is_compiling()


def logits_of(output: Any, samples: int) -> Any:
    """Return the logits in the output of a network for `samples` inputs.

    A tensor is the logits. In a mapping, a dataclass, a tuple or an output of Transformers, the logits are the entry
    `logits` or else the only tensor `[batch, ..., classes]`.

    Raises:
        MismatchError: when there is no such tensor, or more than one; names them.

    >>> logits_of({"loss": torch.tensor(0.5), "scores": torch.zeros(2, 10)}, 2).shape
    torch.Size([2, 10])
    >>> logits_of((torch.zeros(2, 10), torch.zeros(2, 8)), 2)
    Traceback (most recent call last):
    instar.errors.MismatchError: the network must return logits, a tensor [batch, classes], or name them 'logits'; \
it returns a tuple with 0 [2, 10], 1 [2, 8]. Wrap it in a module that returns only the logits.
    """
    if isinstance(output, Tensor | Projected):
        return output
    parts = _named_entries(output)
    if isinstance(parts.get("logits"), Tensor | Projected):
        return parts["logits"]
    tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
    # a trace cannot compare sizes; the network was called before, so its output is already checked
    is_traced = is_tracing()
    # a loss has no axis of classes, and what does not start with the batch is not about its samples
    likely = [part for part in tensors.values() if part.dim() >= 2 and (is_traced or part.shape[0] == samples)]
    if len(likely) == 1:
        return likely[0]
    held = ", ".join(f"{name} {list(part.shape)}" for name, part in list(tensors.items())[:8]) or "no tensor"
    raise MismatchError(
        f"the network must return logits, a tensor [batch, classes], or name them 'logits'; it returns a "
        f"{type(output).__name__} with {held}. Wrap it in a module that returns only the logits."
    )


def refuse_other_rows(features: Mapping[str, Tensor], samples: int, who: str) -> None:
    """Refuse outputs of layers that are no row of floating-point numbers for each of `samples` inputs.

    One row for all of them would be compared with each, and give a wrong number without an error.

    Raises:
        MismatchError: names the layer.

    >>> refuse_other_rows({"codes": torch.zeros(2, 4, dtype=torch.int64)}, 2, "the teacher")
    Traceback (most recent call last):
    instar.errors.MismatchError: the layer 'codes' of the teacher returns [2, 4] int64 for 2 samples; a term needs a \
row of floating-point numbers for each sample.
    """
    for name, found in features.items():
        is_row = found.dim() > 1 and len(found) == samples and 0 not in found.shape[1:]
        if not is_row or not found.is_floating_point() or found.layout != torch.strided:
            kind = str(found.layout if found.layout != torch.strided else found.dtype).removeprefix("torch.")
            raise MismatchError(
                f"the layer '{name}' of {who} returns {list(found.shape)} {kind} for {samples} samples; a term needs a "
                "row of floating-point numbers for each sample."
            )


def _named_entries(output: Any) -> dict[str, Any]:
    if isinstance(output, Mapping):  # outputs of Transformers are mappings too
        return {str(name): part for name, part in output.items()}
    if is_dataclass(output):
        return {field.name: getattr(output, field.name) for field in fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        return dict(output._asdict())
    if isinstance(output, tuple | list):
        return {str(number): part for number, part in enumerate(output)}
    return {"logits": getattr(output, "logits", None)}
