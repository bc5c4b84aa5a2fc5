"""The data of a run: every verb that takes a run reads data as the run did, and reports changes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instar.compute.inputs import Shape, Shapes, as_shapes, describe_shapes
from instar.compute.packed import PACKED_INPUTS, are_packed
from instar.config import DataConfig, validate
from instar.data.any_source import are_objects
from instar.data.columns.held import INPUTS
from instar.data.dataset import IMAGE_SETTINGS, Data, load_data, load_recorded_data
from instar.data.drawn_test import DRAWN
from instar.data.image_form import ImageForm
from instar.data.objects import columns_of_objects
from instar.data.opening import column_names, join_names
from instar.data.renamed import rename_classes
from instar.errors import MismatchError, say
from instar.importing import names_an_import
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import read_shape
from instar.runs.documents import ModelFile
from instar.runs.run import Run
from instar.stages.teacher_readers import MAX_SCALED_PIXEL

PIXELS = "uint8"
"""Type of inputs that every network gets divided by 255."""

MAX_INSPECTED_SAMPLES = 1000
"""First samples whose smallest and largest number tell whether they are pixels that were divided by 255."""

READING_SETTINGS = (
    *("input_column", "input_columns", "label_column", "leave_out", "column_types", "labels", "unlabelled"),
    *IMAGE_SETTINGS,
    *("length", "stream", "tokenizer", "truncation", "packing", "states", "sample_rate", "test", "split_seed"),
)
"""Settings that say how data are read; all others select samples."""

OBJECT_READING_SETTINGS = (
    *("input_column", "label_column", "leave_out", "column_types", "labels", "unlabelled", "inputs", "layout"),
    *IMAGE_SETTINGS,
    *("length", "tokenizer", "truncation", "packing"),  # of instructions
    *("states", "sample_rate"),
    *("test", "split_seed"),  # data without a test set get that of the run
)
"""Those of these settings that say how Python objects are read."""


def read_run_data(
    run: Run,
    given: Data | str | Path | Sequence[Any] | DataConfig | None,
    *,
    splits: Sequence[str] = (),
    trust: bool = False,
) -> Data:
    """Return the data of a run, or others read as the run read its own, with the classes in the order of the run.

    Args:
        run: the folder.
        given: other data; None: the run's own. Settings that a given `DataConfig` names take precedence.
        splits: "train" and "test", to compare their fingerprints with the recorded ones; stderr reports a difference.
        trust: allow the import of a function that returns the data; one whose name was typed is imported anyway.

    Raises:
        MismatchError: when inputs have another shape or another rate than those of the run, or samples have classes
            that the run does not know.
    """
    found = given if isinstance(given, Data) else _read(run, given, trust=trust)
    refuse_other_inputs(run, found)
    _tell_other_resizing(run, found)
    if found.config.source != run.config["data"]["source"]:
        _tell_drawn_part(found)
    found = rename_classes(found, run_classes(run), f"'{run.path}'", by_number=_are_numbered(run, found))
    refuse_other_scale(run, found)
    for split in splits:
        compare_fingerprints(run, found, split)
    return found


def _tell_drawn_part(data: Data) -> None:
    # whoever gives new data may think that all of them are judged
    if DRAWN in data.test.source.reading:
        chosen, others = len(data.test.source), len(data.train.source)
        say(
            f"instar: '{data.config.source}' has no test split; its test set is {chosen:,} of its {chosen + others:,} "
            f"samples, drawn by data.test={data.config.test:g}."
        )


def compare_fingerprints(run: Run, data: Data, split: str) -> dict[str, str] | None:
    """Return the recorded and the present fingerprint of a split if they differ; None if they agree.

    Stderr reports a difference if both come from a source of the same name.
    """
    source = data.split(split).source
    # a validation set that is split off train is one source with it, and one of its own is not recorded
    name = "train" if split == "validation" and source is data.train.source else split
    recorded, found = (run.fingerprints.get("data") or {}).get(name), source.fingerprint()
    if recorded in (None, found):
        return None
    if data.config.source == run.config["data"]["source"]:  # a source of another name is meant to differ
        say(
            f"instar: the {name} data are not those that '{run.path}' was made with (fingerprint {recorded[:8]}, now "
            f"{found[:8]}); the numbers are those of the data as they are now."
        )
    return {"recorded": recorded, "found": found}


def as_run(subject: Any) -> Run | None:
    """Return a run, or the run in a folder; None for anything else."""
    if isinstance(subject, str | Path) and os.path.isfile(os.path.join(subject, "config.json")):
        return Run(subject)
    return subject if isinstance(subject, Run) else None


def _read(run: Run, given: str | Path | Sequence[Any] | DataConfig | None, *, trust: bool) -> Data:
    recorded = run.config["data"]
    if given is None:
        return load_recorded_data(validate(DataConfig, recorded), trust=trust)
    # how the run read its data; what the user names for these comes on top
    kept = {name: recorded[name] for name in READING_SETTINGS if name in recorded}
    if recorded.get("rest") == "dustbin":  # its classes are others than those of the source
        kept |= {name: recorded[name] for name in ("special_classes", "rest")}
    shape = describe_model(run).get("input_shape") or []
    if (
        isinstance(shape, list) and len(shape) == 3 and not kept.get("image_size")
    ):  # the run's images had this size by themselves
        kept["image_size"] = shape[1:]
    if isinstance(given, str | Path):
        given = DataConfig(source=given if isinstance(given, str) else str(given))
    if not isinstance(given, DataConfig):
        own = {name: value for name, value in (recorded | kept).items() if name in OBJECT_READING_SETTINGS}
        return load_data(given, **_known_columns(own, columns_of_objects(given)))
    if os.path.exists(given.source):
        known = column_names(given.source) if kept.get("input_column") or kept.get("label_column") else ()
        kept = _known_columns(kept, known)
    # a reading of Python objects says nothing about files, and arguments of one function nothing about another
    is_same, were_objects = given.source == recorded["source"], are_objects(recorded["source"])
    arrays = {name: recorded.get(name) for name in ("inputs", "layout") if is_same or not were_objects}
    kept |= {"source_arguments": recorded.get("source_arguments", {})} if is_same else {}
    settings = kept | arrays | {name: getattr(given, name) for name in given.model_fields_set}
    if any(arrays.values()) or is_same:
        return load_recorded_data(validate(DataConfig, settings), trust=trust)
    found = load_data(validate(DataConfig, settings), trust=trust)
    if (kind := found.config.inputs) != settings.get("inputs") and not were_objects:
        say(f"instar: '{given.source}' is read as {kind}; '{run.path}' recorded no reading. data.inputs changes this.")
    return found


def _known_columns(settings: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    # where other data call their columns otherwise, these are found as usual
    unknown = {name: None for name in ("input_column", "label_column") if settings.get(name) not in known}
    left = [name for name in settings.get("leave_out", ()) if name in known]
    types = {name: kind for name, kind in settings.get("column_types", {}).items() if name in known}
    return {**settings, **unknown, "leave_out": left, "column_types": types}


def refuse_other_inputs(run: Run, data: Data) -> None:
    """Refuse data whose inputs have another shape or another rate than those of a run; positions may differ.

    Raises:
        MismatchError: names both.
    """
    samples, described = data.test, describe_model(run)
    source = samples.source
    start = 0 if source.positions is None and source.lengths is None else 1  # of positions or frames there may be any
    # a reader of the user's is not imported for this, and refuses such inputs itself; nothing is described by an
    # ensemble whose members have gone
    if described and not names_an_import(described["reader"]):
        reader = parse_reader(described["reader"])
        wanted, found = as_shapes(described["input_shape"]), reader.collect(samples.source.shape)
        of_run, of_data = (_list_shapes(read_shape(reader, shapes), start) for shapes in (wanted, found))
        if of_run != of_data:
            raise MismatchError(
                f"'{run.path}' takes inputs of shape {describe_shapes(wanted)}, and '{samples.source.name}' has "
                f"{describe_shapes(found)}; data.image_size resizes images, and data.channels makes them grey or RGB."
            )
    rate, recorded = recording_rate(data), recorded_rate(run)
    if rate is not None and recorded not in (None, rate):
        raise MismatchError(
            f"'{run.path}' takes recordings of {recorded:,} samples a second, and '{samples.source.name}' has "
            f"{rate:,}; set data.sample_rate={recorded} to resample them."
        )
    if rate is not None and recorded is None:
        say(f"instar: '{run.path}' does not know the rate of its recordings; these have {rate:,} samples a second.")


def refuse_other_scale(run: Run, data: Data) -> None:
    """Refuse numbers in place of pixels (uint8), unless they are from 0 to 1, and pixels in place of numbers.

    Both may have one shape, and a network takes either without an error.

    Raises:
        MismatchError: names both.
    """
    described, source = describe_model(run), data.test.source
    if not described or names_an_import(described["reader"]):
        return
    reader = parse_reader(described["reader"])
    wanted, found = described["dtype"], reader.collect(source.dtype)
    if not isinstance(wanted, str) or not isinstance(found, str) or (wanted == PIXELS) == (found == PIXELS):
        return
    # numbers from 0 to 1 are pixels as every network gets them
    least, most = (value.item() for value in source.column(reader.column)[:MAX_INSPECTED_SAMPLES].aminmax())
    if found != PIXELS and least >= 0 and most <= MAX_SCALED_PIXEL:
        return
    told = "" if found == PIXELS else f" from {least:g} to {most:g}"
    raise MismatchError(
        f"'{run.path}' takes {'pixels' if wanted == PIXELS else 'numbers'} ({wanted}), and '{source.name}' holds "
        f"{'pixels' if found == PIXELS else 'numbers'} ({found}){told}; give inputs of one type and scale, such as "
        "pixels from 0 to 255 in uint8."
    )


def refuse_other_reading(teacher: Run, data: Data) -> None:
    """Refuse data whose inputs a teacher does not take, or whose classes it has in another order.

    Raises:
        MismatchError: names what differs.
    """
    refuse_other_inputs(teacher, data)
    _tell_other_resizing(teacher, data)
    theirs, ours = run_classes(teacher), data.classes
    # without a common name, the classes may be numbered in one and named in the other
    # a specialist has one class for all that it does not tell apart, and may have as many as the data
    is_specialist = bool(teacher.config["data"].get("special_classes"))
    if theirs != ours and len(theirs) == len(ours) and set(theirs) & set(ours) and not is_specialist:
        how = "its classes in another order" if set(theirs) == set(ours) else "other classes"
        raise MismatchError(
            f"'{teacher.path}' has {how} ({join_names(theirs)}) than '{data.train.source.name}' ({join_names(ours)}), "
            "so its answers would be about other classes; data.classes names all classes and their order."
        )
    refuse_other_scale(teacher, data)


def _tell_other_resizing(teacher: Run, data: Data) -> None:
    # both have the same shape, so nothing else tells that one of them is distorted or has borders
    recorded = {name: teacher.config["data"].get(name) for name in ("image_size", "resize")}
    theirs, ours = (ImageForm.of(config) for config in (validate(DataConfig, {"source": ""} | recorded), data.config))
    if None not in (theirs.size, ours.size) and theirs.resize != ours.resize:
        say(
            f"instar: '{teacher.path}' was trained on images that were resized by {theirs.resize}, and those of "
            f"'{data.train.source.name}' are resized by {ours.resize}; data.resize chooses the way."
        )


def recording_rate(data: Data) -> int | None:
    """Return the samples a second of recordings; None for other data."""
    sound = data.test.source.sound
    return None if sound is None else sound.rate


def recorded_rate(run: Run) -> int | None:
    """Return the sampling rate of the recordings that a run was made with; None if it is unknown."""
    rate: int | None = run.result.get("rate") if run.complete else None
    return rate


def run_classes(run: Run) -> tuple[str, ...]:
    """Return the classes that a run predicts; an ensemble predicts those of its first member."""
    return tuple(describe_model(run).get("classes") or ())


def _list_shapes(shapes: Shapes, start: int) -> dict[str, Shape]:
    if isinstance(shapes, Mapping) and are_packed(shapes):  # whoever reads these reads single texts too
        shapes = shapes[PACKED_INPUTS[0]]
    several = shapes if isinstance(shapes, Mapping) else {INPUTS: shapes}
    return {name: shape[start:] for name, shape in several.items()}


def describe_model(run: Run) -> dict[str, Any]:
    """Return the description of a run's model, or of the first member of an ensemble; empty if there is none."""
    if (run.path / "model.json").is_file():
        return run.document("model.json", ModelFile).model_dump()
    # an ensemble has no network of its own; its members, which may be ensembles too, have the same inputs and classes
    members = (Run(path) for path in run.members() if (path / "config.json").is_file())
    return next(filter(None, map(describe_model, members)), {})


def _are_numbered(run: Run, data: Data) -> bool:
    # whether classes of run and data correspond by number, because one of them has no names
    wanted, found = run_classes(run), data.classes
    if set(wanted) & set(found):  # names that both have are matched by name
        return False
    if are_objects(data.config.source) and _are_numbers(found):
        return len(found) <= len(wanted)  # the labels given now may lack the last classes
    if are_objects(run.config["data"]["source"]) and _are_numbers(wanted) and len(found) == len(wanted):
        say(
            f"instar: '{run.path}' knows its classes by number alone, which are taken to be {join_names(found)} in "
            "order."
        )
        return True
    return False


def _are_numbers(classes: Sequence[str]) -> bool:
    return tuple(classes) == tuple(map(str, range(len(classes))))
