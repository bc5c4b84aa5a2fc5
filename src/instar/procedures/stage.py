"""One stage: a configuration becomes a complete run folder. Every verb that trains is made of these."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn

from instar.analysis import all_metrics, fidelity, gain, quick_metrics
from instar.config import DataConfig, RunConfig, default_settings
from instar.data import UNLABELLED, Data, Loader, Samples, View, load_data, parse_views
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import (
    Adopting,
    Architecture,
    Normalised,
    build_network,
    last_layer,
    load_model,
    require_compiler,
    save_model,
    start_from,
    statistics,
)
from instar.objectives import Objective, parse_objective
from instar.procedures.kept import kept, plan_labelling, refuse_unfit
from instar.procedures.labelling import Labelling
from instar.run import Run, write_json, write_tensors
from instar.seeds import seed_everything
from instar.teachers import Ensemble, Module, Teacher, as_teacher
from instar.training import fit, part_sizes, predict
from instar.training.bias import shift_logits, to_prior


class TrainedRun(Run):
    """A run folder with its model.

    Args:
        path: the folder.
        trust: allow a model class outside `instar.models` to be imported.
        network: a network of the right shape, where the model was given as a Python object.
    """

    def __init__(self, path: str | Path, *, trust: bool = False, network: nn.Module | None = None) -> None:
        super().__init__(path)
        self._trust, self.network = trust, network

    @cached_property
    def model(self) -> Normalised:
        """The trained model, in eval mode."""
        return load_model(self, trust=self._trust, network=self.network)


@dataclass(frozen=True)
class Stage:
    """Everything that one run needs: its configuration, and what was given as Python objects.

    Args:
        config: what to do.
        out: the run folder.
        data: the data, where they are at hand; otherwise they are loaded as the configuration says.
        network: the network, where the model was given as a Python object; it is copied, not changed.
        teacher: the teacher, where it was given as a Python object.
        objective: the objective, where it was given as a Python object; it may hold terms of the user's.
        views: the augmentation, where it was given as a Python object.
        trust: allow model classes outside `instar.models`, here and in the teachers' run folders.
        show: show progress on stderr.
    """

    config: RunConfig
    out: Path
    data: Data | None = None
    network: nn.Module | None = None
    teacher: Teacher | None = None
    objective: Objective | None = None
    views: View | None = None
    trust: bool = False
    show: bool = True

    def run(self) -> TrainedRun:
        """Do what is left to do, and return the complete run.

        Raises:
            InstarError: in one sentence, before the first step wherever that can be known.
        """
        objective = self.objective or parse_objective(self.config.objective)
        teacher = self.teacher or combine_teachers(self.config, self.trust)
        if teacher and self.config != (config := with_settings_of(teacher, self.config)):
            return replace(self, config=config, teacher=teacher, views=None).run()
        data = self.data or load_data(self.config.data)
        views = self.views or parse_views(self.config.views)
        objective.check(
            has_teacher=teacher is not None,
            has_labels=is_labelled(data.train),
        )
        if not is_labelled(data.test):
            raise DataError("the test split has no labels, so the result could not be judged.")
        fingerprints: dict[str, Any] = {"data": data.fingerprints()}
        if teacher:
            fingerprints["teacher"] = teacher.fingerprint()
        if self.network is not None:
            fingerprints["network"] = Module(self.network).fingerprint()
        if self.config.start:
            start = load_model(Run(self.config.start), trust=self.trust, network=self.network)
            fingerprints["start"] = Module(start).fingerprint()
        if self.config.training.patience and not is_labelled(data.held_out):
            raise ConfigError("'training.patience' needs a validation split with labels, and there is none.")
        accelerator = make_accelerator()
        model = self._make_model(data, teacher)
        if self.config.correct_prior:  # refused now, not after the training
            last_layer(model, data.train.num_classes, "have its prior corrected")
        loader = Loader(
            data.train,
            self.config.training.batch_size,
            seed=self.config.seed,
            views=views,
            num_views=self.config.num_views,
            view_seed=self.config.view_seed,
            device=accelerator.device,
        )
        training = self.config.training
        if training.compile:
            require_compiler(accelerator.device)
        if teacher:
            teacher.prepare(
                accelerator.device,
                training.teacher_precision,
                memory_format=training.memory_format,
                compile_for=part_sizes(loader, training, accelerator) if training.compile else (),
            )
        refuse_other_classes(model.to(accelerator.device), objective, teacher, loader, data)
        labelling = plan_labelling(teacher, self.config, objective, loader, data) if teacher else None
        with accelerator.main_process_first():  # one process makes the folder, and the others find it
            folder = Run.start(self.out, self.config.model_dump(mode="json"), fingerprints, default_settings())
        run = TrainedRun(folder.path, trust=self.trust, network=self.network)
        with run.lock() if accelerator.is_main_process else nullcontext():
            if not run.complete:
                try:
                    self._finish(run, model, objective, loader, data, teacher, labelling, accelerator)
                except Exception:
                    (run.path / "error.txt").write_text(traceback.format_exc())
                    raise
        return run

    def _make_model(self, data: Data, teacher: Teacher | None) -> Normalised:
        """Make the network with initial weights that depend on the run's seed, and on the teacher where it adopts."""
        seed_everything(self.config.seed, "initial weights")
        shape, classes = data.train.input_shape, data.train.num_classes
        network = copy.deepcopy(self.network)
        if network is None:
            network = build_network(self.config.model, shape, classes, trust=self.trust)
        if isinstance(network, Adopting):
            network.adopt(only_network(teacher, self.config.model.name))
        model = Normalised(network, *statistics(data.train))
        if self.config.start:
            start = Run(self.config.start)
            start_from(start, model, data.classes, data.train, trust=self.trust, network=self.network)
        seed_everything(self.config.seed, "training")
        return model

    def _finish(
        self,
        run: Run,
        model: Normalised,
        objective: Objective,
        loader: Loader,
        data: Data,
        teacher: Teacher | None,
        labelling: Labelling | None,
        accelerator: Accelerator,
    ) -> None:
        config = self.config
        show = self.show and accelerator.is_main_process
        listened = kept(teacher, config, loader, labelling, run.path, show=show) if teacher else None
        seconds = fit(
            model,
            objective,
            loader,
            config.training,
            run,
            accelerator,
            teacher=listened,
            validation=data.held_out if is_labelled(data.held_out) else None,
            show=self.show,
        )
        if config.correct_prior:
            shift_logits(model, to_prior(data.train))
        if accelerator.is_main_process:
            save_model(run, model, config.model, data.train.input_shape, data.classes)
            facts = {
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps": run.history()[-1]["step"],
                "seconds": seconds,
            }
            finish_run(run, Module(model), data, facts, teacher, accelerator.device)
            run.forget_progress()
        accelerator.wait_for_everyone()
        accelerator.free_memory()


def make_accelerator() -> Accelerator:
    """Return the device and the processes that we were launched on, and nothing else that a launcher may say."""
    # several processes on a CPU are seen only when asked for; precision and micro-batches are the configuration's
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )


def finish_run(
    run: Run,
    answering: Teacher,
    data: Data,
    facts: Mapping[str, Any],
    teacher: Teacher | None = None,
    device: torch.device | str = "cpu",
) -> None:
    """Write predictions and, last of all, the result: errors on test and validation, fidelity and gain.

    Args:
        run: the folder.
        answering: what was made in it: a model, or several as one.
        data: whose test and validation samples are predicted.
        facts: what else the result holds.
        teacher: whom the model was to follow; a store may know nothing about a split, which is left out then.
        device: where both are.
    """
    predictions: dict[str, Tensor] = {}
    metrics: dict[str, dict[str, Any]] = {}
    for split, samples in (("test", data.test), ("validation", data.held_out)):
        if samples is None or not is_labelled(samples):
            continue
        logits = predict(answering, samples, device)
        predictions |= {f"{split}.logits": logits, f"{split}.ids": samples.ids, f"{split}.labels": samples.labels}
        metrics[split] = all_metrics(logits, samples.labels, data.classes)
        if teacher and teacher.knows(samples):
            answers = predict(teacher, samples, device)
            metrics[split] |= fidelity(logits, answers)
            metrics[split]["teacher_error"] = quick_metrics(answers, samples.labels)["error"]
            metrics[split]["gain"] = gain(logits, answers, samples.labels)
    write_tensors(run.path / "predictions.safetensors", predictions)
    (run.path / "error.txt").unlink(missing_ok=True)
    result = {"metrics": metrics["test"], "validation": metrics.get("validation"), **facts}
    write_json(run.path / "result.json", result)


def is_labelled(samples: Samples | None) -> bool:
    """Return whether any sample has a label; a transfer set may have none, and what is set aside from it neither."""
    return samples is not None and bool((samples.labels != UNLABELLED).any())


def combine_teachers(config: RunConfig, trust: bool) -> Teacher | None:
    """Return the teachers of a configuration as one: none, itself, or an ensemble."""
    match config.teachers:
        case ():
            return None
        case (single,):
            return as_teacher(single, trust=trust)
        case several:
            return Ensemble(several, config.combine, trust=trust)


def with_settings_of(teacher: Teacher, config: RunConfig) -> RunConfig:
    """Return a configuration with the views that a store replays, where it does not name views of its own."""
    theirs = {name: value for name, value in teacher.settings().items() if name not in config.model_fields_set}
    if "views" in config.model_fields_set:  # views of the run's own are endless where it does not say how many
        theirs.pop("num_views", None)
    return config.model_copy(update=theirs)


def only_network(teacher: Teacher | None, name: str) -> nn.Module:
    """Return the network of a teacher from which model `name` takes layers.

    Raises:
        MismatchError: when there is no teacher, or it is not one network.
    """
    networks = teacher.modules() if teacher else []
    if len(networks) != 1:
        count = f"has {len(networks)} networks" if teacher else "is missing"
        raise MismatchError(f"model '{name}' takes layers from its teacher, which must be one network; it {count}.")
    (network,) = networks
    return network.network if isinstance(network, Normalised) else network


@torch.no_grad()
def refuse_other_classes(
    model: nn.Module, objective: Objective, teacher: Teacher | None, loader: Loader, data: Data
) -> None:
    """Compare the widths of student, teacher and labels on two samples, and try the objective on their targets.

    Raises:
        MismatchError: when they differ, or the objective asks for what the targets do not hold.
    """
    batch = loader.batch(0).part(0, 2)
    was_training = model.training
    try:
        width = model.eval()(batch.inputs).shape[-1]
    except RuntimeError as error:
        shape = list(data.train.input_shape)
        raise MismatchError(f"the student cannot take inputs of shape {shape}: {error}") from None
    finally:
        model.train(was_training)
    if width != data.train.num_classes:
        raise MismatchError(f"the student has {width} classes, and the data have {data.train.num_classes}.")
    if teacher is None:
        return
    try:
        targets = teacher.targets(batch)
    except RuntimeError as error:
        raise MismatchError(
            f"the teacher cannot take inputs of shape {list(data.train.input_shape)}: {error}"
        ) from None
    if targets.num_classes != width:
        raise MismatchError(f"the teacher has {targets.num_classes} classes, and the student has {width}.")
    refuse_unfit(objective, batch, targets)


def as_data(data: Data | str | Sequence[Any] | DataConfig) -> Data:
    """Return data that a user gave in any form."""
    return data if isinstance(data, Data) else load_data(data)


def given_network(model: object) -> nn.Module | None:
    """Return the user's own network, which is trained from where it is; ours are made anew under the run's seed.

    Raises:
        ConfigError: when `model` is of no kind that can be trained.
    """
    if isinstance(model, Architecture):
        return None
    if model is None or (not isinstance(model, str | Mapping | nn.Module) and not hasattr(model, "arguments")):
        raise ConfigError(f"model must be a name, a configuration or a torch module, got {type(model).__name__}.")
    return model if isinstance(model, nn.Module) else None
