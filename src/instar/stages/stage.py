"""One stage: a configuration becomes a complete run folder. Every verb that trains is made of these."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch import nn

from instar.compute.compiler import require_compiler
from instar.compute.precision import fastest
from instar.config import RunConfig, TrainingConfig, default_settings
from instar.data import Data, Loader, View, load_data, parse_views
from instar.errors import ConfigError, DataError, say
from instar.models import Normalised, last_layer, load_model, save_model, write_probe
from instar.objectives import Objective, parse_objective
from instar.runs.run import Run
from instar.seeds import seed_everything
from instar.stages.extras import extra
from instar.stages.finish import finish_run, is_labelled
from instar.stages.first_look import FirstLook, look_at
from instar.stages.given import announce
from instar.stages.initial import InitialModel, make_initial, with_weights
from instar.stages.kept import keep_targets, plan_labelling
from instar.stages.labelling import Labelling
from instar.stages.run_data import refuse_other_reading, run_of
from instar.stages.teaching import combine_teachers, refuse_other_classes, with_settings_of
from instar.teachers import Module, Teacher, in_order_of
from instar.training import fit, part_sizes
from instar.training.bias import shift_logits, to_prior


class TrainedRun(Run):
    """A run folder with its model.

    Args:
        path: the folder.
        trust: allow a model class outside `instar.models` to be imported.
        network: a network of the right shape, where the model was given as a Python object, or its import path.
    """

    def __init__(self, path: str | Path, *, trust: bool = False, network: nn.Module | str | None = None) -> None:
        super().__init__(path)
        self._trust, self.network = trust, network

    @cached_property
    def model(self) -> Normalised:
        """The trained model, in eval mode."""
        return load_model(self, trust=self._trust, network=self.network)


def with_network(subject: Any, network: nn.Module | str | None, *, trust: bool = False) -> Any:
    """Return a run folder with the network that loading it needs; whatever else was given as it is.

    Raises:
        ConfigError: when a network is given with what is no run folder.
        RunError: when there is no run folder.
    """
    if network is None:
        return subject
    if not isinstance(subject, str | Path | Run):
        raise ConfigError(f"network= is for a run folder, got {type(subject).__name__}.")
    return TrainedRun(subject.path if isinstance(subject, Run) else subject, trust=trust, network=network)


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
        trust_model: allow that of the student alone, which the user named; a teacher's folder may be a stranger's.
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
    trust_model: bool = False
    show: bool = True

    def run(self) -> TrainedRun:
        """Do what is left to do, and return the complete run; also where the caller has turned gradients off.

        Raises:
            InstarError: in one sentence, before the first step wherever that can be known.
        """
        with torch.inference_mode(False), torch.enable_grad():
            return self._run()

    def _run(self) -> TrainedRun:
        objective = self.objective or parse_objective(self.config.objective)
        teacher = self.teacher or combine_teachers(self.config, self.trust)
        if teacher and self.config != (config := with_settings_of(teacher, self.config)):
            return replace(self, config=config, teacher=teacher, views=None).run()
        data = self.data or load_data(self.config.data)
        for run in filter(None, map(run_of, self.config.teachers)):
            refuse_other_reading(run, data)
        if self.network is not None and self.network is not (made := with_weights(self.network, self.config, data)):
            return replace(self, network=made, data=data).run()
        views = self.views or parse_views(self.config.views)
        teacher = teacher and in_order_of(teacher, data.classes)
        objective.check(
            has_teacher=teacher is not None,
            has_labels=is_labelled(data.train),
        )
        name, judged = ("test", data.test) if self.config.judge_test else ("validation", data.held_out)
        if not is_labelled(judged):
            raise DataError(f"the {name} split has no labels, so the result could not be judged.")
        fingerprints = self._fingerprints(data, teacher)
        refuse_without_validation(self.config.training, data)
        accelerator = make_accelerator()
        self._warn_of_emulation(accelerator.device)
        initial = make_initial(self.config, self.network, data, teacher, trust=self.trust or self.trust_model)
        model = initial.model
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
        unused = initial.rehearse(loader, training, accelerator)
        seed_everything(self.config.seed, "training")
        if self.show and accelerator.is_main_process:  # once nothing is left to refuse, so that a refusal is one line
            announce(data)
            for sentence in initial.notices(unused):
                say(f"instar: {sentence}")
        labelling = plan_labelling(teacher, self.config, objective, loader, data) if teacher else None
        look = self._look(teacher, data, loader, objective, accelerator)
        with self._held(fingerprints, accelerator) as run:
            if not run.complete:
                self._finish(run, initial, objective, loader, data, teacher, labelling, accelerator, look)
        return run

    @contextmanager
    def _held(self, fingerprints: dict[str, Any], accelerator: Accelerator) -> Iterator[TrainedRun]:
        """Hold the run folder, and leave there what goes wrong."""
        with ExitStack() as held:
            with accelerator.main_process_first():  # one process makes the folder, and the others find it
                if accelerator.is_main_process:
                    asked = self.config.model_dump(mode="json")
                    held.enter_context(Run.held(self.out, asked, fingerprints, default_settings()))
                run = TrainedRun(self.out, trust=self.trust or self.trust_model, network=self.network)
            try:
                yield run
            except Exception:
                with suppress(OSError):  # a full disk, say, must not hide the error that this one is about
                    (run.path / "error.txt").write_text(traceback.format_exc())
                raise

    def _look(
        self, teacher: Teacher | None, data: Data, loader: Loader, objective: Objective, accelerator: Accelerator
    ) -> FirstLook | None:
        """Return the first look at the teacher, where the run is not complete; trials of a search are quiet."""
        if teacher is None or not accelerator.is_main_process or (self.out / "result.json").is_file():
            return None
        look = look_at(teacher, data, loader, objective)
        if self.show and self.config.judge_test:
            look.tell()
        return look

    def _fingerprints(self, data: Data, teacher: Teacher | None) -> dict[str, Any]:
        """Return what the run is made from, beside its configuration."""
        found: dict[str, Any] = {"data": data.fingerprints()}
        if teacher:
            found["teacher"] = teacher.fingerprint()
        if self.network is not None:
            found["network"] = Module(self.network).fingerprint()
        if self.config.start:
            start = load_model(Run(self.config.start), trust=self.trust, network=self.network)
            found["start"] = Module(start).fingerprint()
        return found

    def _warn_of_emulation(self, device: torch.device) -> None:
        asked = {self.config.training.precision, self.config.training.teacher_precision}
        if self.show and "bfloat16" in asked and (faster := fastest(device)) != "bfloat16":
            told = f"this {device.type} has no units for bfloat16 and emulates it; {faster} is several times as fast"
            say(f"instar: {told}.")

    def _finish(
        self,
        run: Run,
        initial: InitialModel,
        objective: Objective,
        loader: Loader,
        data: Data,
        teacher: Teacher | None,
        labelling: Labelling | None,
        accelerator: Accelerator,
        look: FirstLook | None,
    ) -> None:
        config, model = self.config, initial.model
        show = self.show and accelerator.is_main_process
        listened = keep_targets(teacher, config, loader, labelling, run.path, show=show) if teacher else None
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
            shape, needed = data.train.input_shape, initial.unmakeable is not None
            save_model(run, model, config.model, shape, data.classes, needs_network=needed)
            notes: list[str] = []
            if initial.is_foreign:
                with extra("The probe of the network", notes):
                    write_probe(run, model, initial.probe)
            facts = {
                "parameters": sum(p.numel() for p in model.parameters()),
                "steps": run.history()[-1]["step"],
                "seconds": seconds,
            } | ({"first_look": look.as_dict()} if look else {})
            finish_run(
                run,
                Module(model),
                data,
                facts,
                teacher,
                accelerator.device,
                listened,
                judge_test=config.judge_test,
                notes=notes,
            )
            run.forget_progress()
        accelerator.wait_for_everyone()
        accelerator.free_memory()


def refuse_without_validation(training: TrainingConfig, data: Data) -> None:
    """Refuse settings that need a validation split with labels, where there is none.

    Raises:
        ConfigError: names the setting.
    """
    for name, is_asked in (("patience", training.patience > 0), ("schedule", training.schedule == "plateau")):
        if is_asked and not is_labelled(data.held_out):
            raise ConfigError(f"'training.{name}' needs a validation split with labels, and there is none.")


def make_accelerator() -> Accelerator:
    """Return the device and the processes that we were launched on, and nothing else that a launcher may say."""
    # several processes on a CPU are seen only when asked for; precision and micro-batches are the configuration's
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
