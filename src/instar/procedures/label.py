"""`instar label`: labels data with a teacher once, and writes the targets to a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.compute.precision import Precision
from instar.config import RunConfig, StoreConfig, validate
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.views.identity import Identity
from instar.data.views.notation import as_view
from instar.data.views.view import View
from instar.errors import ConfigError, say
from instar.nested import flatten
from instar.paths import local_path
from instar.stages.arguments import DataLike, as_data
from instar.stages.compatibility import refuse_other_sizes
from instar.stages.configuration import Configured, configure, nest
from instar.stages.first_look import look_at
from instar.stages.given_teacher import choose_teacher, leave_out, match_data, only_parts, teacher_of
from instar.stages.labelling import Labelling
from instar.stages.run_data import as_run, read_run_data
from instar.stages.stored_layers import find_stored_layers
from instar.stages.teacher_description import describe_teacher
from instar.stages.weights import few_columns
from instar.targets.records import Number
from instar.targets.store import TargetStore
from instar.teachers.given import GivenPredictions
from instar.teachers.reordered import reorder_classes
from instar.teachers.teacher import Teacher
from instar.training.scoring import choose_batch_size


def label(
    data: DataLike | None = None,
    teacher: Any = None,
    *,
    out: str | Path,
    views: str | View | None = None,
    num_views: int | None = None,
    keep: str | None = None,
    dtype: Number | None = None,
    features: str | Sequence[str] | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    held_out: bool = True,
    combine: Literal["geometric", "arithmetic"] | None = None,
    precision: Precision | None = None,
    batch_size: int = 256,
    share: tuple[int, int] = (1, 1),
    shard_rows: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    network: nn.Module | str | None = None,
    trust: bool = False,
    show: bool = True,
    **parts: Any,
) -> TargetStore:
    """Write a teacher's targets for every training sample in every view to a store, or resume an unfinished store.

    The store is a teacher like any other. Several processes with the same command share the work. Machines without a
    common disk each get a `share` and a folder; merge the folders afterwards.

    Args:
        data: result of `load_data`, or its argument; None takes the data of `config`.
        teacher: teacher, as in `distill`: run folders, modules, classifiers, an ensemble, another store. The store of
            `GivenPredictions` holds all samples that have one, whatever the selection of the data.
        out: folder of the store; new, or of the same store.
        views: augmentation, replayed by every student.
        num_views: views per sample.
        keep: "all" classes; "top:K", the K largest and the mass of the rest; or "sample:N" classes drawn from p^T.
        dtype: type of the stored numbers.
        features: hidden layers whose outputs are stored too, for the training samples: names, patterns such as
            "blocks.*", or "stages". Terms of hidden layers then learn from the store.
        temperature: temperature of targets that do not serve all: "top", "sample", and arithmetic means. None is 1.
        seed: seed of the views and of the drawn classes.
        held_out: also label the validation and test samples, without augmentation and with all classes, so that
            students can be compared with the teacher on them.
        combine: average of several teachers, as in `distill`.
        precision: precision of the teacher.
        batch_size: samples that the teacher labels at a time; for text at most ten windows, each from its own stretch,
            which the teacher reads from its beginning.
        share: (i, n) makes only the i-th of n shares of the shards; the store is complete after all are merged.
        shard_rows: rows per shard, rounded up to whole pages; None takes the default.
        config: YAML file of settings, as in `train`; its students may use the same file.
        settings: settings of the data by dotted name, as in `train`.
        network: network of a teacher's run folder that needs it: a module, or the `package.module:name` of a function
            that makes it.
        trust: allow model classes outside `instar.models` in the teachers' run folders.
        show: print the size of the store and show progress on stderr.
        parts: `teacher_arguments`, `teacher_weights`, `teacher_reader` and `teacher_classes`, as in `distill`.

    Raises:
        StoreError: if the disk has too little room, or the folder holds something else.
        NonFiniteError: if the teacher predicts NaN; names the samples.
        InstarError: in one sentence, for everything else that the caller can mend.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.distill import distill
    >>> from instar.procedures.train import train
    >>> folder = tempfile.mkdtemp()
    >>> teacher = train("digits", MLP([32]), out=f"{folder}/teacher", epochs=5, learning_rate=0.01)
    >>> store = label("digits", teacher, out=f"{folder}/targets", keep="top:5", temperature=4, show=False)
    >>> student = distill("digits", store, MLP([16]), objective="SoftTargets(4)", out=f"{folder}/student", epochs=20)
    >>> student.metrics["agreement"] > 0.5
    True
    """
    teacher = only_parts("label", teacher, parts)
    given = configure(
        "label",
        {"data": data, "teacher": teacher},
        config,
        {},
        settings,
        trust=trust,
        defaults={"model": {"name": ""}},  # a configuration needs a model, and labelling has no student
        combine=combine,
        views=views,
        num_views=num_views,
        seed=seed,
        training=precision and {"teacher_precision": precision},
    )
    _refuse_other_settings(settings)
    made = given.config
    choice = _choose_content(made, keep=keep, dtype=dtype, temperature=temperature, seed=seed)
    view = given.objects.views or as_view(made.views, trust=trust)
    _refuse_impossible(made, view, batch_size, share, shard_rows)
    names, resolved, loaded = _resolve(teacher_of("label", teacher, made), given, network=network, trust=trust)
    loaders = _make_loaders(made, loaded, resolved, view, batch_size, held_out=held_out)
    labelling = _plan_labelling(made, resolved, names, loaded, loaders, choice, batch_size, shard_rows, features)
    store = _start(labelling, local_path(out, "out"), show)
    labelling.complete(store, str(out), share=share, show=show)
    return store


def _refuse_other_settings(settings: Mapping[str, Any] | None) -> None:
    # what else a store depends on has an argument here; others, such as training.epochs, would change nothing
    if others := flatten({name: value for name, value in nest(settings or {}).items() if name != "data"}):
        name = next(iter(others))
        raise ConfigError(f"label takes only settings of the data, such as data.validation=0, got '{name}'.")


def _choose_content(config: RunConfig, **given: Any) -> StoreConfig:
    # a file may hold the store of a whole run; the arguments of this call stand above it
    chosen = {name: value for name, value in given.items() if value is not None}
    return validate(StoreConfig, config.store.model_dump() | chosen)


def _start(labelling: Labelling, out: Path, show: bool) -> TargetStore:
    store = labelling.start(out)
    if not store.missing():  # it was announced when it was made
        return store
    look = look_at(labelling.teacher, labelling.data, labelling.loaders["train"])
    store.first_look = look.as_dict()  # for --json of this call: it is not part of the store
    if show:
        look.tell()
        say(describe(store))
    return store


def _refuse_impossible(
    config: RunConfig, view: View, batch_size: int, share: tuple[int, int], shard_rows: int | None
) -> None:
    for name, number in (("batch_size", batch_size), ("shard_rows", shard_rows)):
        if number is not None and number < 1:
            raise ConfigError(f"{name} must be at least 1, got {number}.")
    number = config.num_views
    # without augmentation the teacher would be queried about the same inputs again and again
    if isinstance(view, Identity) and (number or 1) > 1:
        raise ConfigError(f"{number} views without augmentation would all be alike; give an augmentation (views).")
    if not 1 <= share[0] <= share[1]:
        raise ConfigError(f"share must be (i, n) with i from 1 to n, got {share}.")


def _resolve(
    teacher: Any, given: Configured, *, network: nn.Module | str | None, trust: bool
) -> tuple[tuple[str, ...], Teacher, Data]:
    """Return the teacher with its names, and the data, whose classes are in the same order."""
    spec = given.objects.data or given.config.data
    # read as the first teacher read its own data, so that a sample is the same input as then; a teacher without a run
    # folder says nothing about data
    run = as_run(teacher[0] if isinstance(teacher, list | tuple) else teacher)
    data = as_data(spec, trust=trust) if run is None else read_run_data(run, spec, trust=trust)
    names, resolved = choose_teacher(teacher, given.config.combine, network=network, trust=trust)
    resolved = match_data(resolved, data)
    return names, reorder_classes(resolved, data.classes), leave_out(data, resolved)


def _plan_labelling(
    config: RunConfig,
    teacher: Teacher,
    names: tuple[str, ...],
    data: Data,
    loaders: Mapping[str, Loader],
    choice: StoreConfig,
    batch_size: int,
    shard_rows: int | None,
    features: str | Sequence[str] | None,
) -> Labelling:
    refuse_other_sizes(loaders["train"], None, teacher)
    precision = config.training.teacher_precision
    samples = loaders["train"].samples
    left_out = len(samples.source) - len(samples) if isinstance(teacher, GivenPredictions) else 0
    described = describe_teacher(teacher, names, config.combine, precision, few_columns(data), left_out)
    # on a CPU, a convolutional teacher would split batches of the size that was asked for
    teacher.prepare(Execution(make_accelerator().device, precision, max_convolved_samples=batch_size))
    # students are compared with the teacher on held-out samples, which takes all classes
    choices = {name: choice if name == "train" else StoreConfig(dtype=choice.dtype) for name in loaders}
    layers = () if features is None else find_stored_layers(teacher, features)
    return Labelling(teacher, described, data, loaders, choices, shard_rows, layers)


def _make_loaders(
    config: RunConfig, data: Data, teacher: Teacher, view: View, batch_size: int, *, held_out: bool
) -> dict[str, Loader]:
    device = make_accelerator().device
    # all that were given, so that students of any selection find theirs
    shown = teacher.predicted(data.train) if isinstance(teacher, GivenPredictions) else data.train
    loaders = {
        "train": Loader(
            shown,
            choose_batch_size(shown, batch_size),
            seed=config.seed,
            views=view,
            num_views=config.num_views,
            view_seed=config.view_seed,  # students replay these views by this seed, whatever their own is
            device=device,
        )
    }
    # held-out samples are shown as they are, which a teacher that is a store may not have seen
    for name, samples in (("validation", data.held_out), ("test", data.test)):
        is_inside = samples is not None and shown.source is samples.source and isinstance(teacher, GivenPredictions)
        if held_out and samples is not None and teacher.knows(samples) and not is_inside:
            size = choose_batch_size(samples, batch_size)
            loaders[name] = Loader(samples, size, seed=config.seed, device=device)
    return loaders


def describe(store: TargetStore) -> str:
    """Return the content and size of a store, one line per part."""
    lines = []
    for name, part in store.manifest.parts.items():
        layout = part.layout(store.num_classes)
        lines.append(
            f"{name}: {part.samples:,} samples, {part.shows()}, {part.keep} of {store.num_classes:,} classes in "
            f"{part.dtype}: {part.rows:,} rows of {layout.width:,} bytes, {part.rows * layout.width / 1e6:,.1f} MB"
        )
        for layer in part.layers:
            width = layout.bytes_of(layer)
            size = f"{width:,} bytes, {part.rows * width / 1e6:,.1f} MB"
            lines.append(f"  layer {layer.name}: {list(layer.shape)} per sample, {size}")
    # with the start of each file, and also for shards that are yet to be made
    total = sum(map(store.bytes_of, store.pieces()))
    return "\n".join([*lines, f"{store.path}: {total / 1e6:,.1f} MB in {len(store.pieces())} shards"])
