"""Says how to feed an export: the type, size and channels of its inputs, and what it does with them itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instar.config import DataConfig, validate
from instar.data.any_source import are_objects
from instar.data.columns.cell_rows import UNSEEN_CODE
from instar.data.image_form import ImageForm
from instar.models.normalised import Normalised
from instar.models.readers.as_is import AsIs
from instar.models.readers.cells import Cells
from instar.models.readers.pixels import Pixels
from instar.models.readers.reader import Reader
from instar.models.readers.text_reader import TextReader
from instar.runs.run import Run

MAX_LISTED_STATISTICS = 4
"""Most channels whose mean and standard deviation are listed in a sentence."""

MAX_LISTED_WORDS = 20
"""Most words of a column that are listed in a sentence."""

_CELLS = {"number": "number", "boolean": "0 or 1", "date": "date, seconds since 1970-01-01 UTC"}

_CHANNELS = {1: "grey", 3: "RGB"}

_STEPS = {
    "crop": "resize the shorter side, keep the aspect ratio (the longer side rounded down), and crop the centre to {}",
    "squash": "resize to {}, which changes the aspect ratio",
    "letterbox": "resize the longer side, keep the aspect ratio (the shorter side rounded), and fill with zeros to {}",
}


def describe_feeding(
    run: Run,
    model: Normalised,
    reader: Reader,
    shape: Sequence[int] | Mapping[str, list[int]],
    given: Sequence[int],
    dtype: str | Mapping[str, str],
) -> dict[str, Any]:
    """Return JSON values that say how an input of the model is made of an image or an array.

    Args:
        run: run of the model, whose data settings say how its images were resized.
        model: model with its statistics.
        reader: how the model read the data.
        shape: shape of one input of the export, or of several by name.
        given: shape of one raw input of the data.
        dtype: type of the inputs, or of several by name.

    Returns:
        `channels`: "grey" or "RGB", or null for other inputs; `resizing`: steps in order, `{"size": [height, width],
        "resize", "shorter", "resample", "odd_margin"}` as in `Pixels`, with an antialiased filter; `mean` and `std`,
        with which the export itself computes (x - mean) / std, of pixels 0..1 if the inputs are uint8, or null where it
        changes nothing; `reader`: another reader, which reads them before the export does, or null; of several inputs,
        `statistics` has mean and std by name; of texts, `texts` says how they become numbers; of a table, `columns`
        lists names, types and words.
    """
    if isinstance(reader, Cells):
        unused: dict[str, Any] = {"channels": None, "resizing": [], "mean": None, "std": None, "reader": None}
        return unused | {"columns": reader.list_columns()}
    if isinstance(shape, Mapping):
        named = {name: [values.flatten().tolist() for values in both] for name, both in model.mean_and_std().items()}
        statistics = {name: {"mean": mean, "std": std} for name, (mean, std) in named.items()}
        other = None if all(type(part) is AsIs for part in reader.parts) else str(reader)
        found: dict[str, Any] = {
            "channels": None,
            "resizing": [],
            "mean": None,
            "std": None,
            "statistics": statistics,
            "reader": other,
        }
        return found | ({"texts": reader.explain()} if isinstance(reader, TextReader) else {})
    is_image = len(shape) == 3 and dtype == "uint8"
    chosen = run.config["data"].get("image_size")
    # arrays have the channels of their owner; images of several sizes have a size that was chosen
    is_decoded = is_image and (not are_objects(run.config["data"]["source"]) or chosen is not None)
    steps: list[dict[str, Any]] = []
    if is_decoded:
        size = chosen or list(given[1:])
        settings = {**run.config["data"], "image_size": tuple(size) if isinstance(size, list) else size}
        form = ImageForm.of(validate(DataConfig, settings))
        usual = {"shorter": None, "resample": "bilinear", "odd_margin": "down"}
        steps.append({"size": list(given[1:]), "resize": form.resize, **usual})
    if is_image and type(reader) is Pixels and (tuple(shape) != tuple(given) or reader.shorter):
        own = {name: getattr(reader, name) for name in ("resize", "shorter", "resample", "odd_margin")}
        steps.append({"size": list(shape[1:]), **own})
    changes = bool(model.mean.any() or (model.std != 1).any())
    return {
        "channels": _CHANNELS.get(shape[0]) if is_decoded else None,
        "resizing": steps,
        "mean": model.mean.flatten().tolist() if changes else None,
        "std": model.std.flatten().tolist() if changes else None,
        "reader": None if type(reader) in (AsIs, Pixels) else str(reader),
    }


def _explain_step(step: Mapping[str, Any]) -> str:
    told = _STEPS[step["resize"]].format(" x ".join(map(str, step["size"])))
    if step["shorter"]:
        told = told.replace("the shorter side", f"the shorter side to {step['shorter']}", 1)
    margin = ", half of an odd margin rounded to an even number" if step["odd_margin"] == "even" else ""
    return f"{told} ({step['resample']}{margin})"


def explain_feeding(inputs: Mapping[str, Any]) -> str:
    """Return the `inputs` of a header as sentences.

    >>> explain_feeding({"dtype": "uint8", "shape": [3, 8, 8], "any_length": False, "channels": "RGB", "mean": None,
    ...     "resizing": [{"size": [8, 8], "resize": "squash", "shorter": None, "resample": "bilinear",
    ...     "odd_margin": "down"}], "reader": None}).split(". ")[2]
    'Resize images, antialiased: resize to 8 x 8, which changes the aspect ratio (bilinear)'
    """
    if isinstance(inputs["shape"], Mapping):
        return _explain_several(inputs)
    if "columns" in inputs:
        return _explain_columns(inputs)
    length = ", with any number of positions (the first axis)" if inputs["any_length"] else ""
    told = [f"Inputs are {inputs['dtype']} {inputs['shape']} each{length}"]
    is_image = inputs["dtype"] == "uint8" and len(inputs["shape"]) == 3
    if is_image:
        told[0] += f", {inputs['channels'] + ' ' if inputs['channels'] else ''}pixels 0 to 255, channels first"
    if inputs["channels"]:
        told.append(
            "Turn images as their EXIF data say, show transparent pixels on white, keep the upper 8 bits of 16 after "
            f"the first resizing, convert to {inputs['channels']}"
        )
    if inputs["resizing"]:
        told.append(f"Resize images, antialiased: {'; then '.join(map(_explain_step, inputs['resizing']))}")
    if inputs["reader"]:
        told.append(f"Read them as {inputs['reader']} does")
    if inputs["mean"] is None:
        told.append("The model does not normalise them")
    else:
        # a table may have thousands of features, whose statistics the header holds
        few = [[round(value, 4) for value in inputs[name]] for name in ("mean", "std")]
        values = f" (mean {few[0]}, std {few[1]})" if len(few[0]) <= MAX_LISTED_STATISTICS else ""
        of_pixels = " after dividing by 255" if is_image else ""
        told.append(f"Do not normalise them: the model does so itself{of_pixels}{values}")
    return ". ".join(told) + "."


def _explain_columns(inputs: Mapping[str, Any]) -> str:
    told = []
    for column in inputs["columns"]:
        form = _CELLS.get(column["kind"], "")
        if column["kind"] == "word":
            words = [f"{number} = {word}" for number, word in enumerate(column["categories"])]
            some = words if len(words) <= MAX_LISTED_WORDS else [*words[:MAX_LISTED_WORDS], "... (see the header)"]
            form = f"{', '.join(some)}; {UNSEEN_CODE:g} = any other word"
        told.append(f"{column['name']} ({form})")
    return (
        f"Inputs are {inputs['dtype']} {inputs['shape']} each, a number for each column of a row, and NaN where a "
        f"value is missing. Columns in order: {', '.join(told)}. The model standardises and encodes them itself."
    )


def _explain_several(inputs: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name} {inputs['dtype'][name]} {shape}" for name, shape in inputs["shape"].items())
    length = ", with any number of positions (the first axis)" if inputs["any_length"] else ""
    if inputs.get("texts"):
        free = "batch, positions" if inputs["any_length"] else "batch"
        return f"Inputs are {told} of each text; [{free}] may have any length. {inputs['texts']}"
    own = inputs.get("statistics") or {}
    normal = (
        f"Do not normalise {', '.join(own)}: the model does so itself." if own else "The model does not normalise them."
    )
    reading = f" Read them as {inputs['reader']} does." if inputs["reader"] else ""
    return f"Inputs are several by name: {told} each{length}.{reading} {normal}"
