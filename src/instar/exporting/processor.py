"""The image processor of Transformers that reads pictures as a run did: one resizing, one crop, mean and std."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from instar.errors import MismatchError, say
from instar.exporting.student import Student
from instar.models.readers.comparison import are_alike, choose_shapes, make_picture
from instar.models.readers.notation import parse_reader
from instar.models.readers.pixels import Pixels
from instar.stages.new_inputs import InputReading

_RESAMPLE = {"bilinear": 2, "bicubic": 3}  # numbers of Pillow


@dataclass(frozen=True)
class ProcessorPlan:
    """An image processor for a run.

    Args:
        settings: content of `preprocessor_config.json`.
        is_general: whether it reads pictures of every size as the run does; otherwise those of the size of the data.
    """

    settings: dict[str, Any]
    is_general: bool


def plan_processor(student: Student) -> ProcessorPlan:
    """Return the image processor for a run.

    Raises:
        MismatchError: when the run reads no RGB pictures, or resizes them in a way that no processor has.
    """
    inputs = student.header["inputs"]
    if inputs["dtype"] != "uint8" or len(inputs["shape"]) != 3 or inputs["shape"][0] != 3:
        raise MismatchError(
            f"transformers opens models of RGB pictures, and '{student.run.path}' takes inputs of type "
            f"{inputs['dtype']} and shape {inputs['shape']}; export it with --to hub or --to onnx."
        )
    step, is_general = _merge(student)
    is_crop = step["resize"] == "crop"
    both = dict(zip(("height", "width"), step["size"], strict=True))
    means, stds = (value.flatten().expand(3).tolist() for value in (student.model.mean, student.model.std))
    resizing = (
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": step["shorter"] or min(step["size"])},
            "do_center_crop": True,
            "crop_size": both,
        }
        if is_crop
        else {"image_processor_type": "ViTImageProcessor", "size": both, "do_center_crop": False}
    )
    pixels = {"do_convert_rgb": True, "do_rescale": True, "rescale_factor": 1 / 255}
    statistics = {"do_normalize": True, "image_mean": means, "image_std": stds}
    settings = {**resizing, "do_resize": True, "resample": _RESAMPLE[step["resample"]], **pixels, **statistics}
    return ProcessorPlan(settings, is_general)


def _merge(student: Student) -> tuple[Mapping[str, Any], bool]:
    """Return one resizing for those of the data and of the reader, and whether it is the same for every picture."""
    size = list(InputReading.of(student.run).shape[1:])
    steps = student.header["inputs"]["resizing"]
    if student.header["inputs"]["channels"] is None:  # arrays, whose size `instar predict` gives to pictures
        steps = [{"size": size, "resize": "squash", "resample": "bilinear"}, *steps]
    first, *more = steps
    if not more and first["resize"] != "letterbox":
        return first, True
    if more and more[0]["resize"] != "letterbox":
        # the centre of the centre, without another resizing between
        if first["resize"] == more[0]["resize"] == "crop" and [more[0]["shorter"]] * 2 == size:
            return {**more[0], "resample": first["resample"]}, True
        if student.run.config["data"].get("image_size") is None:  # all pictures of the data have this size
            return more[0], False
    told = " and then to ".join(f"{' x '.join(map(str, step['size']))} ({step['resize']})" for step in steps)
    raise MismatchError(
        f"'{student.run.path}' resizes pictures to {told}, and an image processor of Transformers resizes them once, "
        "by crop or squash; train with data.image_size of the size that the model takes, or export with --to onnx."
    )


def refuse_other_processor(student: Student, processor: Any, *, is_general: bool) -> None:
    """Compare a processor with the reading of the run on a few pictures.

    Raises:
        MismatchError: when it makes other pixels of one.
    """
    reading = InputReading.of(student.run)
    reader = parse_reader(student.header["model"]["reader"], trust=student.trust)
    height, width = reading.shape[1:]
    for shape in choose_shapes(Pixels((height, width))) if is_general else [(height, width)]:
        picture = make_picture(*shape)
        wanted = reader(torch.cat(list(reading.read(_as_images([picture])))))
        found = process(processor, [picture]) * student.model.std + student.model.mean
        if not are_alike(wanted.float(), 255 * found):
            raise MismatchError(
                f"no image processor of Transformers reads pictures as '{student.run.path}' does: of a picture of "
                f"{shape[0]} x {shape[1]} pixels, {type(processor).__name__} makes others; export with --to onnx."
            )
    if not is_general:
        told = f"{height} x {width}"
        say(
            f"instar: the processor reads pictures of {told} pixels, the size of the data, as the run does; instar "
            f"predict resizes pictures of other sizes to {told} first, and the processor does not."
        )


def process(processor: Any, pictures: Sequence[Any], **options: Any) -> Tensor:
    """Return the inputs `[batch, 3, height, width]` that a processor makes of pictures `[height, width, 3]`."""
    found: Tensor = processor(_as_images(pictures), return_tensors="pt", **options)["pixel_values"]
    return found


def _as_images(pictures: Sequence[Any]) -> list[Any]:
    from PIL import Image

    return [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
