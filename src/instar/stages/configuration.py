"""The configuration of a run, made and checked in one place for Python and the command line.

Settings come from four layers, each of which overrides the ones before: the defaults of `instar.config`, the file or
mapping `config`, the arguments of the verb, and `settings` by dotted name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from instar.config import DataConfig, ModelConfig, RunConfig, StoreConfig, TrainingConfig, validate
from instar.data.dataset import Data, load_data
from instar.data.from_function import refuse_untrusted
from instar.data.views.notation import parse_views
from instar.data.views.view import View
from instar.errors import ConfigError
from instar.importing import TypedName, is_import_path, names_an_import
from instar.models.build import describe_model
from instar.models.imported import names_a_class
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import Reader
from instar.models.trained import lend_network
from instar.nested import merge_settings, read_yaml
from instar.objectives.notation import as_objective, distillation
from instar.objectives.objective import Objective, Term
from instar.runs.run import Run
from instar.stages.argument_order import refuse_swapped
from instar.stages.arguments import DataLike, given_network
from instar.stages.components import GivenObjects
from instar.stages.given_teacher import paths_of
from instar.stages.stage import Stage
from instar.students.catalogue import student_of
from instar.students.fitted import refuse_unused
from instar.tasks.regression import Regression

_ELSEWHERE = (
    (DataConfig, "the data; give data=instar.load_data(..., {name}=...)"),
    (StoreConfig, "the target store; give store={{'{name}': ...}}"),
    (ModelConfig, "the model; give model={{'name': ..., 'arguments': ...}}"),
)
"""Where to give settings that a verb does not take by name."""


@dataclass(frozen=True, eq=False)
class Configured:
    """A configuration, and the Python objects that it can only name.

    Args:
        config: the whole configuration.
        objects: Python objects that the caller gave.
        trust_model: whether the caller named the class of the model or its reader, which allows the import.
    """

    config: RunConfig
    objects: GivenObjects
    trust_model: bool

    def stage(self, out: Path, *, network: nn.Module | str | None, trust: bool, show: bool) -> Stage:
        """Return the stage that makes this run in a folder.

        Args:
            out: the run folder.
            network: the network of the run that training starts from, if that run needs it.
            trust: allow model classes outside `instar.models`.
            show: show progress on stderr.
        """
        objects, start = (
            self.objects,
            self.objects.start or (Run(self.config.start_folder) if self.config.start_folder else None),
        )
        if start is not None:
            objects = replace(objects, start=lend_network(start, network))
        return Stage(self.config, out, objects, trust=trust, trust_model=self.trust_model, show=show)


def configure(
    verb: str,
    inputs: Mapping[str, Any],
    config: str | Path | Mapping[str, Any] | None,
    named: Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    *,
    trust: bool = False,
    defaults: Mapping[str, Any] | None = None,
    refused: tuple[str, ...] = (),
    teaches: bool | None = False,
    **given: Any,
) -> Configured:
    """Merge the layers that a caller gave; an argument that is None was not given.

    Args:
        verb: the name of the function, for error messages.
        inputs: the data, teacher and model that the verb takes, by name and in its order.
        config: YAML file of settings, or its content.
        named: fields of `TrainingConfig`, and other fields of `RunConfig`, by name.
        settings: any setting by dotted name, or nested.
        trust: allow the import of what is the user's and the settings name; what was typed is trusted anyway.
        defaults: defaults of this verb, for sections that are not given.
        refused: settings that the verb has no use for.
        teaches: whether the objective is that of a distillation where none is given, which depends on the student;
            None: the verb gives each of its runs an objective.
        given: fields of `RunConfig`, where an objective or views may be objects.

    Raises:
        ConfigError: for a setting that is unknown, impossible, or has no effect.

    >>> inputs = {"data": "digits", "model": "mlp"}
    >>> made = configure("train", inputs, {"seed": 1}, {"epochs": 3}, {"data.subset": 9})
    >>> made.config.data.subset, made.config.seed, made.config.training.epochs
    (9, 1, 3)
    """
    # texts can be any of them, so that a swapped call would look for data called "mlp"
    refuse_swapped(verb, **inputs)
    model = inputs.get("model")
    network = None if model is None else given_network(model)
    # () for objects, so that the teachers of a file do not stay beside them
    given |= {"teachers": paths_of(inputs.get("teacher"))}
    # lowest layer first: the defaults of the verb, the file, the arguments, and the settings by dotted name
    values = _defaults_for(model, defaults) | _read(config)
    values = merge_settings(values, run_settings(verb, named))
    values = merge_settings(values, {name: as_setting(value) for name, value in given.items() if value is not None})
    if isinstance(model, str | Mapping):
        values = merge_settings(values, {"model": {"name": model} if isinstance(model, str) else model})
    elif model is not None:
        values["model"] = describe_model(model).model_dump()
    over = nest(settings or {})
    # objects are loaded here, because a configuration can only hold how they were read
    source, loaded = _read_data(inputs.get("data"), merge_settings(values, over).get("data", {}))
    values = merge_settings(merge_settings(values, {"data": source} if source else {}), over)
    for name in refused:
        if values.get(name):  # an empty one has no effect
            raise ConfigError(f"{verb} takes no setting '{name}'.")
    found = validate(RunConfig, values)
    student = student_of(found.model.name)
    refuse_unused(student, found.training, set(found.training.model_fields_set))
    if "objective" not in values and teaches is not None:
        chosen = _choose_objective(found, student.temperature, teaches=teaches)
        found = found if chosen is None else found.model_copy(update={"objective": chosen})
    if loaded is not None and found.data != loaded.config:
        raise ConfigError("the data are already loaded, so settings cannot change them; use data.select(...).")
    if network is not None and found.model != describe_model(network):
        raise ConfigError("the model is a module, which settings cannot change; leave out the settings of 'model'.")
    if loaded is None:  # before a run, a search or a lineage begins
        refuse_untrusted(found.data, trust=trust)
    trusted = {"objective", "views", "reader"} if trust else typed_names(values)
    objects = _find_objects(found, {**named, **given}, loaded, network, trusted)
    # the file of the model names its class and its reader, so the caller must have named both, or each that is imported
    typed_class, is_imported = names_a_class(model), names_an_import(found.reader)
    has_own_class = is_import_path(found.model.name) and network is None
    trusts_both = objects.reader is not None and (typed_class or not has_own_class) if is_imported else typed_class
    return Configured(found, objects, trusts_both)


def run_settings(verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Nest named settings as a configuration does: those of a run, and those of its training.

    Args:
        verb: name of the function, for error messages.
        given: settings by name.

    Raises:
        ConfigError: for a setting that belongs elsewhere; says where.

    >>> run_settings("train", {"epochs": 3, "start": "runs/a"})
    {'training': {'epochs': 3}, 'start': 'runs/a'}
    >>> run_settings("train", {"subset": 3})
    Traceback (most recent call last):
    instar.errors.ConfigError: 'subset' is a setting of the data; give data=instar.load_data(..., subset=...).
    """
    nested: dict[str, Any] = {"training": {}}
    for name, value in given.items():
        if name in ("data", "model", "training"):
            raise ConfigError(f"{verb} takes no setting '{name}'.")
        if name in TrainingConfig.model_fields:
            nested["training"][name] = value
        elif name in RunConfig.model_fields:
            nested[name] = as_setting(value)
        else:
            for kind, place in _ELSEWHERE:
                if name in kind.model_fields:
                    raise ConfigError(f"'{name}' is a setting of {place.format(name=name)}.")
            nested["training"][name] = value  # unknown: it is refused with the nearest known name
    return nested


def nest(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by dotted name as nested settings; later names override earlier ones.

    Raises:
        ConfigError: if they are not a mapping.

    >>> nest({"training.epochs": 3, "training": {"ema": 0.9}, "seed": 1})
    {'training': {'epochs': 3, 'ema': 0.9}, 'seed': 1}
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"settings must be a mapping, such as {{'data.subset': 100}}, got {type(settings).__name__}.")
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        inner = as_setting(value)
        for key in reversed(str(name).split(".")):
            inner = {key: inner}
        nested = merge_settings(nested, inner)
    return nested


def read_data(data: DataLike, settings: Mapping[str, Any] | None, *, trust: bool) -> Data:
    """Return data that a user gave in any form, with their settings by dotted name, such as `data.label_column`.

    Raises:
        ConfigError: when a setting is none of the data.
    """
    nested = nest(settings or {})
    if other := min(nested.keys() - {"data"}, default=None):
        raise ConfigError(f"'{other}' is no setting of the data; expected names such as data.label_column.")
    selection = nested.get("data", {})
    if isinstance(data, Data):
        return data.select(trust=trust, **selection) if selection else data
    return load_data(data, trust=trust, **selection)


def as_setting(value: Any) -> Any:
    """Return a value as a configuration holds it: paths, runs, objectives, views and readers as text."""
    if isinstance(value, Run):
        return str(value.path)
    return str(value) if isinstance(value, Path | Objective | Term | View | Reader) else value


def typed_names(values: Mapping[str, Any]) -> set[str]:
    """Return the names of the settings whose value somebody typed as a flag.

    >>> typed_names({"views": TypedName("mine:Sepia()"), "objective": "mine:Focal()"})
    {'views'}
    """
    return {name for name, value in values.items() if isinstance(value, TypedName)}


def _find_objects(
    config: RunConfig, given: Mapping[str, Any], data: Data | None, network: nn.Module | None, trusted: set[str]
) -> GivenObjects:
    # unknown ones are refused before a run or a search begins; what is imported here needs no trust elsewhere
    views = _unless_overruled(given.get("views"), config.views)
    if views is None:
        parsed = parse_views(config.views, trust="views" in trusted)
        views = parsed if names_an_import(config.views) else None
    reader = _unless_overruled(given.get("reader") or "", config.reader)
    if reader is None:
        parsed_reader = parse_reader(config.reader, trust="reader" in trusted)
        reader = parsed_reader if names_an_import(config.reader) else None
    start, objective = given.get("start"), _unless_overruled(given.get("objective"), config.objective)
    return GivenObjects(
        data,
        network,
        start=start if isinstance(start, Run) and str(start.path) == config.start else None,
        objective=as_objective(config.objective if objective is None else objective, trust="objective" in trusted),
        views=views,
        reader=reader,
    )


def _choose_objective(config: RunConfig, temperature: float, *, teaches: bool) -> str | None:
    """Return the objective where nobody gave one; None: that of `RunConfig`."""
    if config.data.labels == "numbers":
        of_labels, of_teacher = Regression().default_objective
        return of_teacher if teaches else of_labels
    return distillation(temperature) if teaches else None


def _defaults_for(model: Any, defaults: Mapping[str, Any] | None) -> dict[str, Any]:
    values = dict(defaults or {})
    if isinstance(model, str) or (isinstance(model, Mapping) and "name" in model):
        values.pop("model", None)  # the arguments of the default model do not fit another one
    return values


def _unless_overruled(given: Any, text: str) -> Any:
    # the configuration holds an object as text, so another text there is a setting that came later; text stays text
    return None if isinstance(given, str) or str(given) != text else given


def _read(config: str | Path | Mapping[str, Any] | None) -> dict[str, Any]:
    if config is None:
        return {}
    return dict(config) if isinstance(config, Mapping) else read_yaml(config)


def _read_data(data: Any, selection: Mapping[str, Any]) -> tuple[dict[str, Any], Data | None]:
    if data is None:
        return {}, None
    if isinstance(data, str | Path):
        return {"source": data if isinstance(data, str) else str(data)}, None
    if isinstance(data, DataConfig):  # what it leaves unset, a file of settings may set
        return data.model_dump(exclude_unset=True), None
    if not isinstance(data, Data):
        data = load_data(data, **{name: value for name, value in selection.items() if name != "source"})
    return data.config.model_dump(), data
