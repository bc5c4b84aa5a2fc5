"""What is exported: the model of a run, what it takes and answers, and real samples on which answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from instar.config import DataConfig
from instar.data import Data
from instar.errors import MismatchError
from instar.exporting.recorded import Recorded, compare_with_recorded, largest_difference
from instar.models import CausalLM, Normalised, load_model, network_of
from instar.runs.documents import ModelFile
from instar.runs.environment import package_version
from instar.runs.run import Run
from instar.stages.run_data import read_run_data
from instar.teachers import ENSEMBLE, SPECIALISTS

FORMAT = 2
"""Of the header that every export has; since 2 it holds a checksum, which is compared whenever an export is loaded."""

BATCHES = (7, 1)
"""Sizes at which answers are compared: one that no graph was made for by chance, and the least."""

Answer = Callable[[Tensor], Tensor]
"""Logits `[batch, ...]` of raw inputs `[batch, ...]`."""


class Logits(nn.Module):
    """logits = model(inputs): one input and one output, because a recurrent model may be given a state as well.

    Args:
        model: takes raw inputs; one that carries a state begins without, at every call.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits `[batch, (position,) classes]`."""
        logits: Tensor = self.model(inputs)
        return logits


@dataclass(frozen=True, eq=False)
class Student:
    """The model of a complete run, ready to be written.

    Args:
        run: the run folder.
        model: in eval mode, on the CPU.
        header: what travels with the weights, as JSON values: `format`, `instar` (version), `model` (how to build it,
            with the names of its classes) and `inputs` (dtype, shape of one, and whether any number of positions goes).
        batches: raw test inputs, `[batch, ...]` each.
        trust: whether its class may be imported again.
        network: the network that was given as a Python object, which loading needs again.
        recorded: how far the model is from the predictions of the run; none where the data are others.
    """

    run: Run
    model: Normalised
    header: dict[str, Any]
    batches: tuple[Tensor, ...]
    trust: bool
    network: nn.Module | str | None = None
    recorded: Recorded | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.header["model"]["name"])

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return list(self.header["model"]["classes"])

    @property
    def free_axes(self) -> list[str]:
        """Names of the axes, from the first, that may have any length."""
        return ["batch", "positions"] if self.any_length else ["batch"]

    @property
    def any_length(self) -> bool:
        """Whether samples have positions, and there may be more or fewer of them."""
        return bool(self.header["inputs"]["any_length"])

    def shapes(self) -> tuple[str, str]:
        """Return dtype and shape of inputs and of logits in words; "batch" and "positions" may be any number."""
        with torch.inference_mode():
            logits = self.model(self.batches[0])
        return self._words(self.batches[0]), self._words(logits)

    def _words(self, values: Tensor) -> str:
        shape = [*self.free_axes, *map(str, values.shape[len(self.free_axes) :])]
        return f"{str(values.dtype).removeprefix('torch.')} [{', '.join(shape)}]"

    def difference(self, answer: Answer) -> float:
        """Return max |z - z'| over all logits of all batches, with z' what `answer` says; infinite where that is NaN.

        Raises:
            MismatchError: when `answer` gives another shape.
        """
        worst = 0.0
        for inputs in self.batches:
            with torch.inference_mode():
                expected, found = self.model(inputs), answer(inputs)
            if expected.shape != found.shape:
                raise MismatchError(
                    f"what was written answers inputs of shape {list(inputs.shape)} with {list(found.shape)}, "
                    f"and the model with {list(expected.shape)}."
                )
            worst = max(worst, largest_difference(expected, found))
        return worst


def student_of(
    run: Run,
    data: Data | str | Sequence[Any] | DataConfig | None,
    *,
    tolerance: float,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> Student:
    """Read the model of a complete run and a few test samples, and compare it with the predictions of the run.

    Raises:
        RunError: when the run is not complete, or is damaged.
        MismatchError: when it stands for several models, the data have other inputs or classes than it takes, or it is
            not the model that was trained.
    """
    run.require_complete()
    if run.config["model"]["name"] in (ENSEMBLE, SPECIALISTS):
        raise MismatchError(
            f"'{run.path}' stands for several models and has no weights of its own; distil it into one, or export one "
            "of its members."
        )
    at_hand = network_of(run) if network is None else network
    model = load_model(run, trust=trust, network=at_hand)
    described = run.document("model.json", ModelFile).model_dump(exclude={"checksum"})
    if network is None and described["needs_network"]:  # otherwise it is tried whether a reader can do without
        network = at_hand
    data = read_run_data(run, data, splits=("test",))
    samples = data.test
    if list(samples.input_shape) != described["input_shape"] or list(data.classes) != described["classes"]:
        raise MismatchError(
            f"'{run.path}' takes inputs of shape {described['input_shape']} for {len(described['classes'])} classes, "
            f"and the data have {list(samples.input_shape)} and {len(data.classes)}, or other names of classes."
        )
    recorded = compare_with_recorded(run, model, data, tolerance)
    chosen = samples.source.inputs[samples.ids[torch.arange(sum(BATCHES)) % len(samples)]]
    batches = chosen.split(BATCHES)
    positions = samples.source.positions or 1
    shorter = chosen[: BATCHES[0], : positions // 2] if positions > 1 else None
    any_length = shorter is not None and _takes(model, shorter)
    described |= _configuration(model)
    header = {
        "format": FORMAT,
        "instar": package_version(),
        "model": described,
        "inputs": {
            "dtype": str(chosen.dtype).removeprefix("torch."),
            "shape": list(samples.input_shape),
            "any_length": any_length,
        },
    }
    if any_length and shorter is not None:
        batches = (*batches, shorter)
    return Student(run, model, header, batches, trust, network, recorded)


def _takes(model: nn.Module, inputs: Tensor) -> bool:
    """Return whether a model answers about as many positions as it is given."""
    try:
        with torch.inference_mode():
            return bool(model(inputs).shape[:2] == inputs.shape[:2])
    except (RuntimeError, ValueError, IndexError):  # layers of a fixed length
        return False


def _configuration(model: Normalised) -> dict[str, Any]:
    """Return the configuration of a Transformers model, so that its folder need not be where it was."""
    if not isinstance(model.network, CausalLM):
        return {}
    configuration = model.network.model.config.to_dict()
    configuration.pop("_name_or_path", None)  # where it was on this machine
    return {"transformers": configuration}
