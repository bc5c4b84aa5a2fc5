"""What a run needs for its first step, made and tried before there is a run folder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import nn

from instar.compute.accelerator import make_accelerator
from instar.compute.compiler import require_compiler
from instar.compute.execution import Execution
from instar.compute.precision import choose_fastest
from instar.config import TrainingConfig
from instar.data.loader import Loader
from instar.data.tables.faults import find_faults
from instar.errors import say
from instar.models.build import last_layer
from instar.objectives.objective import Objective
from instar.seeds import seed_everything
from instar.stages.compatibility import refuse_other_classes, refuse_other_sizes
from instar.stages.components import Components
from instar.stages.hidden_layers import match_layers
from instar.stages.initial import InitialModel, make_initial
from instar.stages.labelling import Labelling
from instar.stages.precomputed import plan_labelling
from instar.stages.related_examples import refuse_split_batches
from instar.training.step import part_sizes


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is ready for the first step.

    Args:
        accelerator: device and processes.
        loader: the batches.
        initial: the model before its first step, on the device.
        objective: the objective, whose terms name each layer that they compare.
        adapters: layers of its terms by the name of the term, on the device.
        labelling: what the teacher labels before the first step; None: nothing is kept on disk.
    """

    accelerator: Accelerator
    loader: Loader
    initial: InitialModel
    objective: Objective
    adapters: nn.ModuleDict
    labelling: Labelling | None


def prepare(components: Components, *, trust: bool, show: bool) -> Prepared:
    """Make the model, the batches and the teacher ready, and try each of them on a few samples.

    Args:
        components: components of the run.
        trust: allow model classes outside `instar.models`.
        show: say on stderr how the data are read, and what may surprise about the model.

    Raises:
        InstarError: in one sentence, for all that would fail later.
    """
    config, training, teacher = components.config, components.config.training, components.teacher
    accelerator = make_accelerator()
    if show:
        _warn_of_emulation(training, accelerator.device)
    # the teacher is open already, because some models take layers from it
    initial = make_initial(
        config, components.network, components.data, teacher, components.start, components.reader, trust=trust
    )
    model = initial.model
    if config.correct_prior:  # only a last linear layer with a bias can be; refused now, and not after the training
        last_layer(model, components.data.train.num_classes, "have its prior corrected", initial.probe)
    loader = Loader(
        components.data.train,
        training.batch_size,
        seed=config.seed,
        views=components.views,
        num_views=config.num_views,
        view_seed=config.view_seed,
        device=accelerator.device,
    )
    refuse_other_sizes(loader, model, teacher)
    refuse_split_batches(components.objective, loader, training, accelerator)
    if training.compile:
        require_compiler(accelerator.device)
    if teacher is not None:
        # only full batches come often enough for compiling to pay; each other size would be compiled anew
        sizes = part_sizes(loader, training, accelerator) if training.compile else ()
        teacher.prepare(
            Execution(accelerator.device, training.teacher_precision, training.memory_format, compiled_sizes=sizes)
        )

    refuse_other_classes(model.to(accelerator.device), components.objective, teacher, loader, components.data)
    seed_everything(config.seed, "adapters")
    objective, adapters = match_layers(components.objective, model, teacher, loader, accelerator, config.targets)
    unused = initial.rehearse(loader, training, accelerator)
    seed_everything(config.seed, "training")  # the checks above have drawn random numbers
    if show and accelerator.is_main_process:  # once nothing is left to refuse, so that a refusal is one line
        say(f"instar: data {components.data.describe()}.")
        others = {name: samples for name, samples in components.data.splits.items() if name != "train"}
        for sentence in find_faults(components.data.train, others):
            say(f"instar: warning: {sentence}.")
        for sentence in initial.notices(unused):
            say(f"instar: {sentence}")
    labelling = plan_labelling(components, loader, objective.teacher_layers)
    return Prepared(accelerator, loader, initial, objective, adapters, labelling)


def _warn_of_emulation(training: TrainingConfig, device: torch.device) -> None:
    used = {training.precision, training.teacher_precision}
    if "bfloat16" in used and (faster := choose_fastest(device)) != "bfloat16":
        say(f"instar: this {device.type} has no units for bfloat16 and emulates it; {faster} is several times as fast.")
