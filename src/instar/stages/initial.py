"""The model that a run starts with: how it is made and checked, and what stderr says about it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from instar.compute.inputs import Inputs, Shapes, move_inputs
from instar.config import RunConfig, TrainingConfig
from instar.data.dataset import Data
from instar.data.loader import Loader
from instar.importing import LIBRARY_PREFIXES
from instar.models.architecture import Adopting, Architecture
from instar.models.build import build_network
from instar.models.copying import copy_network
from instar.models.fitted import Fitted
from instar.models.imported import import_model
from instar.models.input_statistics import find_statistics
from instar.models.modes import find_frozen_layers
from instar.models.normalised import MeanAndStd, Normalised, set_reader, unwrap
from instar.models.probe import compute_logits
from instar.models.readers.notation import parse_reader, refuse_second_change, require_readable
from instar.models.readers.reader import Reader, read_shape
from instar.models.rebuilding import why_not_rebuilt
from instar.models.start import start_from
from instar.runs.run import Run
from instar.seeds import seed_everything
from instar.stages.compatibility import only_network
from instar.stages.first_look import are_probabilities
from instar.stages.rehearsal import (
    has_batch_statistics,
    least_part,
    refuse_computed_weights,
    rehearse,
)
from instar.stages.teacher_start import TeacherStart
from instar.stages.weights import (
    choose_student_reader,
    few_inputs,
    is_lazy_network,
    refuse_odd_weights,
    size_layers,
)
from instar.targets.targets import by_example
from instar.teachers.teacher import Teacher
from instar.training.bias import shift_logits, to_prior

MAX_STANDARD = 10.0
"""Mean and deviation of labels, or one over it, up to which no student needs to be warned."""

MAX_NAMED_LAYERS = 5
"""Layers that a line on stderr names."""


@dataclass(frozen=True, eq=False)
class InitialModel:
    """A model before its first step.

    Args:
        model: the model.
        is_foreign: the user's code makes its network.
        reads_as_is: its inputs are not standardised, because its network came with weights.
        unmakeable: why its description does not rebuild the network, so that loading the run needs it; None: it does.
        probe: some raw training inputs of its reader, `[n, ...]` each.
        new_layers: of a student that starts from its teacher's layers, those without a counterpart.
        scale: mean and standard deviation of labels that are numbers; None: they are classes.
    """

    model: Normalised
    is_foreign: bool
    reads_as_is: bool
    unmakeable: str | None
    probe: Inputs
    new_layers: tuple[str, ...] = ()
    scale: tuple[float, float] | None = None

    def rehearse(self, loader: Loader, config: TrainingConfig, accelerator: Accelerator) -> list[str]:
        """Take a step with a copy, where the user's code or a batch of a single sample may make that fail.

        Returns:
            The names of weights that the logits do not depend on.

        Raises:
            MismatchError: in a sentence, when it fails.
        """
        # the networks of Instar can be trained, but a normalisation cannot on the statistics of one sample
        single = has_batch_statistics(self.model) and least_part(loader, config, accelerator) == 1
        if not self.is_foreign and not single:
            return []
        unused = rehearse(self.model, loader, config, accelerator)
        if unused:
            # processes that wait for a gradient that never comes would fail at the second step
            accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=True)
        return unused

    def notices(self, unused: Sequence[str]) -> Iterator[str]:
        """Yield sentences about what may surprise in how the network is trained.

        Args:
            unused: result of `rehearse`.
        """
        network = self.model.network
        if self.reads_as_is:
            yield (
                "the student comes with weights, so its inputs are not standardised (pixels are 0..1); wrap it in "
                "instar.models.Normalised where they should be."
            )
        standardised = self.model.mean_and_std()
        if standardised and not isinstance(network, Architecture):  # Instar's own data and networks have a mask
            yield (
                f"inputs that are standardised, each with its own mean and std: {', '.join(standardised)}; give a "
                "mask as bool or whole numbers, which are not."
            )
        if self.new_layers:
            names = list_some(self.new_layers)
            yield f"layers of the student without counterpart in the teacher have new weights: {names}."
        if not any(module.training for module in network.modules()):
            yield "all layers of the student were given in eval mode; they are trained in train mode."
        elif kept := find_frozen_layers(network):
            yield f"layers that were given in eval mode stay in it: {list_some(kept)}."
        if moving := [name for name, layer in network.named_modules() if _moves_though_frozen(layer)]:
            yield f"the weights of {list_some(moving)} are frozen; eval mode would freeze their running statistics too."
        if self.is_foreign and self.scale and self.model.output_scale is None and not is_standard(*self.scale):
            yield (
                "the student comes with weights, so its outputs are not scaled to the labels "
                f"({self.scale[0]:.5g} ± {self.scale[1]:.5g}); it learns faster from labels that are standardised."
            )
        if self.is_foreign and not self.scale and self._returns_probabilities():
            yield (
                "warning: the student's outputs look like probabilities (never negative, at most 1 or of one sum), and "
                "are read as logits, so that it trains badly; leave out softmax or sigmoid at its end."
            )
        if unused:
            yield f"the logits do not depend on {list_some(unused)}, so these are not trained."
        if self.unmakeable:
            yield (
                f"the student's description does not make it again ({self.unmakeable}); whatever loads this run will "
                "need it as network=, the module itself or the package.module:name of a function that returns it."
            )

    def _returns_probabilities(self) -> bool:
        # the model is on the device of the training by now, and the probe is not
        device = next(self.model.parameters()).device
        return are_probabilities(by_example(compute_logits(self.model, move_inputs(self.probe, device))))


def make_initial(
    config: RunConfig,
    network: nn.Module | None,
    data: Data,
    teacher: Teacher | None,
    start: Run | None = None,
    reader: Reader | None = None,
    *,
    trust: bool,
) -> InitialModel:
    """Make the model; its initial weights depend on the run's seed, and on the teacher if it takes layers from it.

    A network that the user gave, or that the user's function returns, starts from its own weights, and its inputs are
    not standardised, as they are not when it teaches. A `Normalised` network keeps its own statistics, and a run that
    starts from another run keeps that run's statistics, or those of its teacher if it starts from its layers.

    Raises:
        InstarError: in a sentence, when it cannot be made or trained.
    """
    # made on the CPU, so that initial weights do not depend on the accelerator
    seed_everything(config.seed, "initial weights")
    own_reader = require_readable(reader or parse_reader(config.reader, trust=trust))
    from_teacher = TeacherStart.of(config, teacher)
    chosen = choose_student_reader(network, own_reader, data, start)
    reader = from_teacher.teach_reader(chosen) if from_teacher else chosen
    classes, given = data.classes, network is not None
    shape: Shapes = reader.collect(data.train.source.shape)
    read = read_shape(reader, shape)
    if network is None:
        own = build_network(config.model, read, classes, trust=trust, sizes=reader.sizes())
    else:
        own = copy_network(network).cpu()
    is_foreign = given or (":" in config.model.name and not config.model.name.startswith(LIBRARY_PREFIXES))
    if isinstance(own, Adopting):  # Furlanello et al. 2018: a student that keeps some layers of its teacher
        own.adopt(unwrap(only_network(teacher, f"model '{config.model.name}'")))
    # a class makes new weights under the seed of the run; a function may load any
    has_weights = given or (is_foreign and inspect.isfunction(import_model(config.model.name)))
    stays = has_weights or (isinstance(own, Fitted) and not own.standardises)
    model = set_reader(own, reader, *_choose_statistics(from_teacher, data, reader, has_weights=stays))
    scale = data.train.source.task.output_scale
    # as with its inputs, a network with weights keeps its function, and fitted values are in the unit of the labels
    if scale is not None and not has_weights and not isinstance(own, Fitted):
        model.scale_outputs(*scale)
    probe = few_inputs(data, model.reader)
    refuse_second_change(model.reader, probe)
    is_told = isinstance(own, Normalised) or reader.statistics() is not None
    reads_as_is = has_weights and not is_told and model.leaves_unstandardised(probe)
    if is_lazy_network(model):
        size_layers(model, probe)
    refuse_odd_weights(model)
    if config.training.max_norm:
        refuse_computed_weights(model)
    new_layers = () if from_teacher is None else from_teacher.copy_into(model, len(classes))
    if start is not None:
        start_from(start, model, classes, data.train, trust=trust)
    if config.correct_prior and (start or from_teacher):
        # these weights know the prior of the data, and epochs have another one
        shift_logits(model, -to_prior(data.train), probe)
    # found out before the training: afterwards it would be too late
    unmakeable = why_not_rebuilt(model, config.model, probe, shape, classes) if is_foreign else None
    seed_everything(config.seed, "training")  # rebuilding has drawn new weights
    is_said = reads_as_is and not (start or from_teacher)
    return InitialModel(model, is_foreign, is_said, unmakeable, probe, new_layers, scale)


def _choose_statistics(
    from_teacher: TeacherStart | None, data: Data, reader: Reader, *, has_weights: bool
) -> tuple[MeanAndStd | None, dict[str, MeanAndStd]]:
    if from_teacher is not None:
        return from_teacher.statistics()
    # weights that were trained elsewhere expect inputs that are not standardised by these data
    return (None, {}) if has_weights else find_statistics(data.train, reader)


def list_some(names: Sequence[str], most: int = MAX_NAMED_LAYERS) -> str:
    """Return a few names, and how many more there are.

    >>> list_some(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def is_standard(mean: float, std: float) -> bool:
    """Return whether a network without scaled outputs learns labels of this mean and deviation about as fast.

    >>> is_standard(0.2, 1.5), is_standard(3930.0, 3990.0)
    (True, False)
    """
    return abs(mean) <= MAX_STANDARD and 1 / MAX_STANDARD <= std <= MAX_STANDARD


def _moves_though_frozen(layer: nn.Module) -> bool:
    # in train mode, a batch or instance normalisation averages statistics whether its weights are trained or not
    is_running = isinstance(layer, nn.modules.batchnorm._NormBase) and layer.training and layer.track_running_stats
    weights = list(layer.parameters())
    return is_running and bool(weights) and not any(weight.requires_grad for weight in weights)
