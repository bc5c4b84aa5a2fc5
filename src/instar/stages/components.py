"""The components of a run: every object that its configuration names, made once and checked against the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from instar.config import RunConfig
from instar.data.columns.sounds import Sounds
from instar.data.dataset import Data, load_data
from instar.data.samples import is_labelled
from instar.data.views.identity import Identity
from instar.data.views.mixing import find_mixing
from instar.data.views.notation import parse_views
from instar.data.views.view import View
from instar.errors import ConfigError, DataError, MismatchError
from instar.models.foreign_readers import choose_reader
from instar.models.probe import probe_functions
from instar.models.readers.notation import parse_reader
from instar.models.readers.reader import Reader
from instar.models.trained import attach_network, load_model, network_of
from instar.objectives.notation import parse_objective
from instar.objectives.objective import Objective
from instar.objectives.weighted_labels import WeightedLabels, fit_to_samples
from instar.runs.documents import FunctionProbe
from instar.runs.run import Run
from instar.stages.given_teacher import choose_teacher, leave_out, match_data
from instar.stages.hidden_layers import refuse_without_layers
from instar.stages.run_data import as_run, refuse_other_reading
from instar.stages.teacher_start import TeacherStart
from instar.stages.transfer_rows import refuse_unused_rows
from instar.stages.weights import few_columns, size_lazy_layers
from instar.teachers.module import Module
from instar.teachers.reordered import reorder_classes
from instar.teachers.teacher import Teacher


@dataclass(frozen=True)
class GivenObjects:
    """Python objects that a user gave; each is used in place of the one that a configuration names.

    Args:
        data: the data; None: they are loaded as the configuration says.
        network: the network that training starts from; it is copied, not changed.
        teacher: the teacher.
        start: the run whose weights are the initial ones, with its network where it needs one.
        objective: the objective, which may hold terms of the user's.
        views: the augmentation.
        reader: how the model reads inputs.
    """

    data: Data | None = None
    network: nn.Module | None = None
    teacher: Teacher | None = None
    start: Run | None = None
    objective: Objective | None = None
    views: View | None = None
    reader: Reader | None = None


@dataclass(frozen=True, eq=False)
class Components:
    """Everything that a run is made from.

    Args:
        config: the configuration, with the views of a target store where it names none of its own.
        data: the data.
        network: the user's network, all of its weights with their sizes; None: the configuration describes one.
        teacher: the teacher, its classes in the order of the data; None: the run learns from labels alone.
        start: the run whose weights are the initial ones; None: they are random, or those of the network.
        objective: objective to minimise.
        views: the augmentation of the training samples.
        reader: how the model reads inputs.
    """

    config: RunConfig
    data: Data
    network: nn.Module | None
    teacher: Teacher | None
    start: Run | None
    objective: Objective
    views: View
    reader: Reader

    def check(self, *, is_judged: bool = True) -> None:
        """Refuse components that do not fit each other.

        Args:
            is_judged: whether the run has a result, which needs labels.

        Raises:
            MismatchError: when the objective needs a teacher or labels that are missing.
            DataError: when the split that judges the result has no labels.
            ConfigError: when a setting of the training needs labels for validation that are missing.
        """
        config, data = self.config, self.data
        columns = [data.train.source.columns.get(name) for name in self.reader.columns]
        if not isinstance(self.views, Identity) and any(isinstance(column, Sounds) for column in columns):
            raise MismatchError(
                f"the views {self.views} change frames, and the student reads the sound; leave them out, or train a "
                "model of frames, such as frame-net."
            )
        mixing = find_mixing(self.views)
        self.objective.check(
            has_teacher=self.teacher is not None,
            has_labels=is_labelled(data.train),
            mixes_samples=mixing is not None,
            predicts_numbers=data.train.source.task.predicts_numbers,
        )
        refuse_unused_rows(config.data, self.objective, has_teacher=self.teacher is not None)
        refuse_lost_weights(self)
        TeacherStart.of(config, self.teacher)  # refuses a teacher without one network
        refuse_without_layers(self.objective, self.teacher, config)
        # known now, and otherwise only after the last step
        name, judged = ("test", data.test) if config.judge_test else ("validation", data.held_out)
        if is_judged and not is_labelled(judged):
            raise DataError(f"the {name} split has no labels, so the result could not be judged.")
        training = config.training
        if mixing is not None and training.gradients_every:
            raise ConfigError(
                f"'training.gradients_every' splits gradients at the label, and {mixing} gives a sample two labels; "
                "leave one of the two out."
            )
        for name, is_set in (("patience", training.patience > 0), ("schedule", training.schedule == "plateau")):
            if is_set and not is_labelled(data.held_out):
                raise ConfigError(f"'training.{name}' needs a validation split with labels, and there is none.")

    def fingerprints(self, *, trust: bool) -> dict[str, Any]:
        """Return hashes of all that the run depends on, beside its configuration.

        Args:
            trust: allow a model class outside `instar.models` in the run that training starts from.
        """
        found: dict[str, Any] = {"data": self.data.fingerprints()}
        if self.teacher is not None:
            found["teacher"] = self.teacher.fingerprint()
        if self.network is not None:  # training begins with its weights, which no setting describes
            found["network"] = Module(self.network).fingerprint()
        if self.start is not None:  # by its weights: the folder may move, and another run may take its place
            found["start"] = Module(load_model(self.start, trust=trust)).fingerprint()
        return found

    def functions(self) -> dict[str, FunctionProbe]:
        """Return a few logits of each network of the teacher."""
        # a fingerprint hashes weights, and the same weights under another activation are another teacher
        networks = [] if self.teacher is None else self.teacher.modules()
        return probe_functions("teacher", networks, few_columns(self.data))


def refuse_lost_weights(components: Components) -> None:
    """Refuse weights of samples where the objective or the views would not weigh by them.

    Args:
        components: what the run is made from.

    Raises:
        MismatchError: says what does not.
    """
    if components.data.train.source.weights is None:
        return
    if any(isinstance(term, WeightedLabels) for _, term in components.objective.parts):
        raise MismatchError(
            "WeightedLabels counts each sample once, and the samples have weights; multiply these by the weight of the "
            "class, and use HardLabels."
        )
    if find_mixing(components.views) is not None:
        raise MismatchError("views that mix samples cannot weigh them; leave the views or the weights out.")


def resolve_components(config: RunConfig, given: GivenObjects, *, trust: bool) -> Components:
    """Return the components of a run: those that were given, and the others as the configuration names them.

    Args:
        config: configuration of the run.
        given: Python objects.
        trust: allow the import of classes outside Instar that the configuration and the teachers' run folders name.

    Raises:
        InstarError: in one sentence, when one cannot be made or reads other data than the teachers did.
    """
    objective = given.objective or parse_objective(config.objective, trust=trust)
    teacher = given.teacher
    if teacher is None and config.teachers:
        _, teacher = choose_teacher(config.teachers, config.combine, trust=trust)
    if teacher is not None:
        config = adopt_store_views(teacher, config)  # a target store knows no other views
    data = given.data or load_data(config.data, trust=trust)
    # recorded, so that the run and the verbs that follow it read arrays in files in the same way again
    reading = {name: getattr(data.config, name) for name in ("inputs", "layout", "image_size")}
    text = choose_reader(config.model, config.reader, data.train.source)
    # that of a processor takes the place of AsIs()
    reader = (given.reader if text == config.reader else None) or parse_reader(text, trust=trust)
    config = config.model_copy(update={"data": config.data.model_copy(update=reading), "reader": text})
    for run in filter(None, map(as_run, config.teachers)):  # the same sample must be the same input for all
        refuse_other_reading(run, data)
    network = None if given.network is None else size_lazy_layers(given.network, config, data, reader)
    start = given.start or (Run(config.start_folder) if config.start_folder else None)
    if start is not None:
        start.require_complete()
    if start is not None and network is not None and network_of(start) is None:
        start = attach_network(start, network)  # it may have trained this network, which no description builds
    views = given.views or parse_views(config.views, trust=trust)
    if teacher is not None:
        teacher = reorder_classes(match_data(teacher, data), data.classes)
        data = leave_out(data, teacher)
    objective = fit_to_samples(objective, data.train)
    return Components(config, data, network, teacher, start, objective, views, reader)


def adopt_store_views(teacher: Teacher, config: RunConfig) -> RunConfig:
    """Return a configuration with the views that a target store was made with, unless it names views itself."""
    theirs = {name: value for name, value in teacher.settings().items() if name not in config.model_fields_set}
    # views that the run names are endless, unless it names their number too
    if "views" in config.model_fields_set:
        theirs.pop("num_views", None)
    return config.model_copy(update=theirs)
