"""`instar label`: labels data with a teacher once, and writes the targets to a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.execution import Execution
from instar.compute.precision import Precision
from instar.config import RunConfig, StoreConfig, flatten, validate
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.data.views import Identity, View, as_view
from instar.errors import ConfigError, say
from instar.paths import local_path
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import DataLike, as_data
from instar.stages.configuration import configure, nest
from instar.stages.first_look import FirstLook, look_at
from instar.stages.given_teacher import choose_teacher, paths_of, teacher_of
from instar.stages.labelling import Labelling, describe_teacher
from instar.stages.run_data import as_run, read_run_data
from instar.stages.weights import few_inputs
from instar.targets.records import Number
from instar.targets.store import TargetStore
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
) -> TargetStore:
    """Write a teacher's targets for every training sample in every view to a store, or resume an unfinished store.

    The store is a teacher like any other. Several processes with the same command share the work. Machines without a
    common disk each get a `share` and a folder; merge the folders afterwards.

    Args:
        data: result of `load_data`, or its argument; None takes the data of `config`.
        teacher: teacher, as in `distill`: run folders, modules, classifiers, an ensemble, another store.
        out: folder of the store; new, or of the same store.
        views: augmentation, replayed by every student.
        num_views: views per sample.
        keep: "all" classes; "top:K", the K largest and the mass of the rest; or "sample:N" classes drawn from p^T.
        dtype: type of the stored numbers.
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
    refuse_swapped("label", data=data, teacher=teacher)
    _refuse_other_settings(settings)
    given = configure(
        "label",
        config,
        {},
        settings,
        data=data,
        defaults={"model": {"name": ""}},
        teachers=paths_of(teacher),
        combine=combine,
        views=views,
        num_views=num_views,
        seed=seed,
        training=precision and {"teacher_precision": precision},
    )
    made = given.config
    choice = _choose_content(made, keep=keep, dtype=dtype, temperature=temperature, seed=seed)
    view = given.objects.views or as_view(made.views)
    _check(made, view, batch_size, share, shard_rows)
    chosen = teacher_of("label", teacher, made)
    # the data are read as the teacher read its own, with its classes in order
    run, spec = as_run(chosen[0] if isinstance(chosen, list | tuple) else chosen), given.objects.data or made.data
    loaded = as_data(spec) if run is None else read_run_data(run, spec)
    names, resolved = choose_teacher(chosen, made.combine, network=network, trust=trust)
    resolved = reorder_classes(resolved, loaded.classes)
    arithmetic = made.training.teacher_precision
    named = describe_teacher(resolved, names, made.combine, arithmetic, few_inputs(loaded))
    resolved.prepare(Execution(make_accelerator().device, arithmetic, max_convolved_samples=batch_size))
    loaders = _make_loaders(made, loaded, resolved if held_out else None, view, batch_size)
    # students are compared with the teacher on held-out samples, which takes all classes
    choices = {name: choice if name == "train" else StoreConfig(dtype=choice.dtype) for name in loaders}
    labelling = Labelling(resolved, named, loaded, loaders, choices, shard_rows)
    store = labelling.start(local_path(out, "out"))
    if store.missing():
        _announce(store, look_at(resolved, loaded, loaders["train"]), show)
    labelling.complete(store, str(out), share=share, show=show)
    return store


def _refuse_other_settings(settings: Mapping[str, Any] | None) -> None:
    if others := flatten({name: value for name, value in nest(settings or {}).items() if name != "data"}):
        name = next(iter(others))
        raise ConfigError(f"label takes only settings of the data, such as data.validation=0, got '{name}'.")


def _choose_content(config: RunConfig, **given: Any) -> StoreConfig:
    """Return what the store holds: the arguments that were given, over the settings of the configuration."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return validate(StoreConfig, config.store.model_dump() | chosen)


def _announce(store: TargetStore, look: FirstLook, show: bool) -> None:
    store.first_look = look.as_dict()
    if show:
        look.tell()
        say(describe(store))


def _check(config: RunConfig, view: View, batch_size: int, share: tuple[int, int], shard_rows: int | None) -> None:
    for name, number in (("batch_size", batch_size), ("shard_rows", shard_rows)):
        if number is not None and number < 1:
            raise ConfigError(f"{name} must be at least 1, got {number}.")
    number = config.num_views
    if isinstance(view, Identity) and (number or 1) > 1:
        raise ConfigError(f"{number} views without augmentation would all be alike; give an augmentation (views).")
    if not 1 <= share[0] <= share[1]:
        raise ConfigError(f"share must be (i, n) with i from 1 to n, got {share}.")


def _make_loaders(
    config: RunConfig, data: Data, teacher: Teacher | None, view: View, batch_size: int
) -> dict[str, Loader]:
    """Return the samples of each part; those of validation and test without views, if the teacher knows them."""
    device = make_accelerator().device
    loaders = {
        "train": Loader(
            data.train,
            choose_batch_size(data.train, batch_size),
            seed=config.seed,
            views=view,
            num_views=config.num_views,
            view_seed=config.view_seed,
            device=device,
        )
    }
    for name, samples in (("validation", data.held_out), ("test", data.test)):
        if teacher is not None and samples is not None and teacher.knows(samples):
            size = choose_batch_size(samples, batch_size)
            loaders[name] = Loader(samples, size, seed=config.seed, device=device)
    return loaders


def describe(store: TargetStore) -> str:
    """Return the content and size of a store, one line per part."""
    lines = []
    for name, part in store.manifest.parts.items():
        width = part.width(store.num_classes)
        lines.append(
            f"{name}: {part.samples:,} samples, {part.shows()}, {part.keep} of {store.num_classes:,} classes in "
            f"{part.dtype}: {part.rows:,} rows of {width:,} bytes, {part.rows * width / 1e6:,.1f} MB"
        )
    total = sum(map(store.bytes_of, store.pieces()))
    return "\n".join([*lines, f"{store.path}: {total / 1e6:,.1f} MB in {len(store.pieces())} shards"])
