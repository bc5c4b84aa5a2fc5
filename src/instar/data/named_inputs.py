"""Inputs that are several arrays by name, such as `input_ids` and `attention_mask`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.config import DataConfig
from instar.data.array_inputs import read_inputs
from instar.data.array_sources import make_array_sources
from instar.data.array_values import as_pandas, read_numbers
from instar.data.columns.held import INPUTS, Held
from instar.data.labels import LABEL_NAMES
from instar.data.source import Source
from instar.errors import DataError

IMAGE_AXES = (3, 4)
"""Axes of an array of grey images, and of images with channels."""


def split_off_labels(split: str, given: Mapping[str, Any], config: DataConfig) -> tuple[dict[str, Any], Any]:
    """Return the inputs of a mapping by name, and its labels; None if it has none.

    >>> split_off_labels("train", {"ids": [[3]], "mask": [[1]], "label": [0]}, DataConfig(source="arrays"))
    ({'ids': [[3]], 'mask': [[1]]}, [0])

    Raises:
        DataError: when a name is no text or is taken, no input is left, or the labels cannot be told.
    """
    refuse_odd_names(given, split)
    wanted = config.label_column
    if wanted is not None and wanted not in given:
        raise DataError(f"'{split}' has no labels '{wanted}'; its names are: {', '.join(given)}.")
    found = [name for name in LABEL_NAMES if name in given] if wanted is None else [wanted]
    if len(found) > 1:
        raise DataError(f"'{split}' has {' and '.join(found)}; choose the labels with label_column.")
    inputs = {name: as_pandas(values) for name, values in given.items() if name not in found}
    if not inputs:
        raise DataError(f"'{split}' has labels and no inputs; give arrays by name beside them.")
    return inputs, as_pandas(given[found[0]]) if found else None


def refuse_odd_names(names: Iterable[Any], where: str) -> None:
    """Refuse names of inputs that no argument of a network can have.

    Raises:
        DataError: names the first.
    """
    if odd := [name for name in names if not isinstance(name, str) or not name.isidentifier() or name == INPUTS]:
        raise DataError(
            f"'{where}' names an input {odd[0]!r}; each name must be that of an argument of the network, and "
            f"'{INPUTS}' stands for all of them. A reader renames: Named({INPUTS}=AsIs('x'))."
        )


def make_named_sources(
    inputs: Mapping[str, Any], labels: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...], config: DataConfig
) -> dict[str, Source]:
    """Return a source for each split, whose inputs are several tensors by name; the first one is what views change.

    Args:
        inputs: by split, arrays `[samples, ...]` by name.
        labels: class numbers of the labelled splits, `[samples]` or `[samples, position]`.
        classes: class names.
        config: settings of the labels; `layout` is that of images.

    Raises:
        DataError: when splits have other names, arrays cannot be read, or labels do not fit them.
    """
    first, *others = inputs
    for split in others:
        if not isinstance(inputs[split], Mapping) or set(inputs[split]) != set(inputs[first]):
            raise DataError(f"inputs must have the same names in all splits; '{split}' differs from '{first}'.")
    if config.inputs is not None:
        raise DataError("data.inputs is the meaning of one array, and these are several by name; leave it out.")
    names = tuple(inputs[first])
    found = {name: read_named(name, {split: inputs[split][name] for split in inputs}, config) for name in names}
    main, *beside = names
    # labels are matched with the first; whole numbers are tokens, which may have a label at each position
    kind = {torch.int64: "tokens", torch.uint8: "pixels"}.get(found[main][first].dtype, "numbers")
    reading = config.model_copy(update={"inputs": kind, "layout": None if kind != "pixels" else "CHW"})
    sources = make_array_sources(found[main], labels, classes, reading)
    return {
        split: replace(
            source,
            inputs=found[main][split],
            given=None,
            reading="",
            settings={},
            columns={name: Held(found[name][split]) for name in beside},
            input_names=names,
        )
        for split, source in sources.items()
    }


def read_named(name: str, given: Mapping[str, Any], config: DataConfig) -> dict[str, Tensor]:
    """Return one of several inputs by split: booleans as they are, whole numbers as int64, floats as float32.

    uint8 arrays of three or four axes are pixels.

    Args:
        name: name of the input, for messages.
        given: arrays by split, `[samples, ...]`.
        config: `layout` is that of images.

    Raises:
        DataError: when an array holds no numbers, or uint8 without the axes of images.
    """
    places = {split: f"{split}, {name}" for split in given}
    arrays = {split: read_numbers(places[split], values) for split, values in given.items()}
    kinds = {array.dtype.kind if array.dtype != np.uint8 else "pixels" for array in arrays.values()}
    if len(kinds - {"u"} | ({"i"} if "u" in kinds else set())) > 1:
        told = " and ".join(f"{array.dtype} in '{split}'" for split, array in arrays.items())
        raise DataError(f"input '{name}' must have one type in all splits, got {told}.")
    if kinds == {"pixels"} and any(array.ndim not in IMAGE_AXES for array in arrays.values()):
        raise DataError(
            f"input '{name}' holds uint8 of shape {list(next(iter(arrays.values())).shape)}, which means pixels from 0 "
            "to 255, and has not the axes of images; give a mask as bool or int64, and other numbers as floats."
        )
    if kinds <= {"b", "i", "u"}:
        dtype = np.bool_ if kinds == {"b"} else np.int64
        tensors = {split: torch.from_numpy(array.astype(dtype)) for split, array in arrays.items()}
        _refuse_other_shapes(name, tensors)
        return tensors
    layout = config.layout if kinds == {"pixels"} else None
    settings = DataConfig(source="arrays", layout=layout)
    read, _, _ = read_inputs({places[split]: array for split, array in arrays.items()}, None, settings)
    return {split: read[places[split]].inputs for split in arrays}


def _refuse_other_shapes(name: str, tensors: Mapping[str, Tensor]) -> None:
    shapes = {split: list(tensor.shape[1:]) for split, tensor in tensors.items()}
    if len(set(map(tuple, shapes.values()))) > 1:
        told = " and ".join(f"{shape} in '{split}'" for split, shape in shapes.items())
        raise DataError(f"input '{name}' must have one shape in all splits, got {told}.")
