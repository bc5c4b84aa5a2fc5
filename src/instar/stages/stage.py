"""One stage: a configuration becomes a complete run folder. Every verb that trains is made of these."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from instar.config import RunConfig, default_settings
from instar.data.samples import is_labelled
from instar.data.views.notation import parse_views
from instar.errors import InstarError, MismatchError
from instar.models.causal_lm import CausalLM
from instar.models.normalised import Normalised
from instar.models.probe import probe_student, write_probe
from instar.models.saved_tokenizer import copy_tokenizer
from instar.models.trained import TrainedRun, save_model
from instar.runs.documents import FunctionProbe
from instar.runs.run import Run
from instar.stages.components import Components, GivenObjects, resolve_components
from instar.stages.finish import finish_run, note_failure
from instar.stages.first_look import Look, look_at
from instar.stages.layer_comparison import keep_layers
from instar.stages.precomputed import precompute_targets
from instar.stages.preparation import Prepared, prepare
from instar.stages.weights import few_columns
from instar.students.catalogue import student_of
from instar.students.fitted import FittedStudent
from instar.students.student import Lesson
from instar.teachers.module import Module
from instar.teachers.teacher import Teacher
from instar.training.bias import shift_logits, to_prior

MAX_UNCOLLECTED_BYTES = 16 << 20
"""Weights on a CPU up to this size wait for Python's own garbage collection after a run."""


@dataclass(frozen=True)
class Stage:
    """One run: its configuration, and what was given as Python objects.

    Args:
        config: configuration of the run.
        out: the run folder.
        given: Python objects in place of those that the configuration names.
        trust: allow model classes outside `instar.models`, here and in the teachers' run folders.
        trust_model: allow that of the student alone, which the user named; a teacher's folder may be a stranger's.
        show: show progress on stderr.
    """

    config: RunConfig
    out: Path
    given: GivenObjects = field(default_factory=GivenObjects)
    trust: bool = False
    trust_model: bool = False
    show: bool = True

    def run(self) -> TrainedRun:
        """Do what is left to do, and return the complete run.

        Raises:
            InstarError: in one sentence, before the first step wherever that can be known.
        """
        with torch.inference_mode(False), torch.enable_grad():  # the caller may have turned gradients off
            components = self._resolve()
            # before any model is moved, laid out anew or called
            fingerprints = components.fingerprints(trust=self.trust)
            functions = components.functions()
            prepared = prepare(components, trust=self.trust or self.trust_model, show=self.show)
            initial = prepared.initial
            if initial.is_foreign:  # the families of Instar are known by name and arguments
                functions |= probe_student(initial.model, few_columns(components.data))
            look = self._look(components, prepared)  # before there is a folder, because it may refuse the teacher
            with self._hold_run(components, fingerprints, functions, prepared.accelerator) as run:
                was_complete = run.complete  # asked under the lock: another process may have just finished it
                if not was_complete:
                    queried, seconds = self._learn(components, prepared, run)
                    _finish(components, prepared, run, queried, seconds, look)
            # outside the context: a refusal must leave no error.txt in a complete run
            if was_complete and initial.is_foreign:
                _refuse_another_student(run)
            return run

    def rehearse(self) -> None:
        """Refuse what `run` would refuse before its first step; makes no folder, and keeps nothing.

        Raises:
            InstarError: in one sentence.
        """
        with torch.inference_mode(False), torch.enable_grad():
            components = self._resolve()
            prepare(components, trust=self.trust or self.trust_model, show=False)

    def fit(self) -> Normalised:
        """Return the model that `run` would save, of a student without gradients; keeps and judges nothing.

        Raises:
            InstarError: in one sentence.
        """
        with torch.inference_mode(False), torch.enable_grad():
            components = self._resolve(is_judged=False)
            prepared = prepare(components, trust=self.trust or self.trust_model, show=self.show)
            student = student_of(components.config.model.name)
            assert isinstance(student, FittedStudent), "the caller has asked"
            lesson = self._make_lesson(components, prepared, None, components.teacher)
            student.fit_model(lesson)
            self._correct_prior(components, prepared)
            return prepared.initial.model.eval()

    def _resolve(self, *, is_judged: bool = True) -> Components:
        """Return the components of the run, which fit each other and the student."""
        found = resolve_components(self.config, self.given, trust=self.trust)
        student, source = student_of(self.config.model.name), found.data.train.source
        student.refuse(
            found.config,
            found.objective,
            source.task,
            is_given=found.network is not None,
            is_weighted=source.weights is not None,
        )
        found.check(is_judged=is_judged)
        return found

    def _look(self, components: Components, prepared: Prepared) -> Look | None:
        # not through Run: the folder may not exist yet
        is_complete = (self.out / "result.json").is_file()
        if components.teacher is None or not prepared.accelerator.is_main_process or is_complete:
            return None
        look = look_at(components.teacher, components.data, prepared.loader, components.objective.at_peak().on_logits)
        if self.show and components.config.judge_test:  # the trials of a search would repeat it
            look.tell()
        return look

    @contextmanager
    def _hold_run(
        self,
        components: Components,
        fingerprints: dict[str, Any],
        functions: dict[str, FunctionProbe],
        accelerator: Accelerator,
    ) -> Iterator[TrainedRun]:
        """Hold the run folder, and leave there what goes wrong."""
        with ExitStack() as held:
            with accelerator.main_process_first():  # one process makes the folder, and the others find it
                if accelerator.is_main_process:
                    config = components.config.model_dump(mode="json") | {"views": self._written_views(components)}
                    held.enter_context(Run.held(self.out, config, fingerprints, default_settings(), functions))
                run = TrainedRun(self.out, trust=self.trust or self.trust_model, network=components.network)
            try:
                yield run
            except Exception:
                with suppress(OSError):  # a full disk, say, must not hide the error that this one is about
                    (run.path / "error.txt").write_text(traceback.format_exc())
                raise

    def _written_views(self, components: Components) -> str:
        # a folder has its views as they were given, and the same ones may be written otherwise now: Crop(4) or
        # Crop(padding=4), or in full where an older version began a lineage
        with suppress(InstarError):  # what is wrong with the folder, holding it says
            written = Run(self.out).config.get("views")
            if isinstance(written, str) and parse_views(written, trust=self.trust) == components.views:
                return written
        return components.config.views

    def _learn(self, components: Components, prepared: Prepared, run: Run) -> tuple[Teacher | None, float]:
        """Train the model; return the teacher that the loop queried, and the seconds of training."""
        config, loader, teacher = components.config, prepared.loader, components.teacher
        if teacher is not None:
            show = self.show and prepared.accelerator.is_main_process
            teacher = precompute_targets(teacher, config, loader, prepared.labelling, run.path, show=show)
        seconds = student_of(config.model.name).learn(self._make_lesson(components, prepared, run, teacher))
        self._correct_prior(components, prepared)
        return teacher, seconds

    def _make_lesson(
        self, components: Components, prepared: Prepared, run: Run | None, teacher: Teacher | None
    ) -> Lesson:
        config, data = components.config, components.data
        return Lesson(
            prepared.initial.model,
            prepared.objective,
            prepared.loader,
            config.training,
            run,
            prepared.accelerator,
            config.seed,
            teacher=teacher,
            adapters=prepared.adapters,
            validation=data.held_out if is_labelled(data.held_out) else None,
            show=self.show,
        )

    def _correct_prior(self, components: Components, prepared: Prepared) -> None:
        if components.config.correct_prior:  # epochs had more special samples, or rare classes, than the data have
            shift_logits(prepared.initial.model, to_prior(components.data.train), prepared.initial.probe)


def _refuse_another_student(run: TrainedRun) -> None:
    try:
        _ = run.model  # loading compares the network of this command with the logits that the run recorded
    except MismatchError:
        run.refuse_configuration("its student has the same weights and computes other logits")


def _finish(
    components: Components,
    prepared: Prepared,
    run: Run,
    queried: Teacher | None,
    seconds: float,
    look: Look | None,
) -> None:
    """Save the model, judge it, and write the result; one process does, and the others wait."""
    config, data, accelerator = components.config, components.data, prepared.accelerator
    initial, model = prepared.initial, prepared.initial.model
    if accelerator.is_main_process:
        needs_network, notes = initial.unmakeable is not None, list[str]()
        source, reader = data.train.source, model.reader
        shape, dtype = reader.collect(source.shape), reader.collect(source.dtype)
        if isinstance(model.network, CausalLM) and data.config.tokenizer is not None:
            with note_failure("The tokenizer", notes):
                model.network.tokenizer_files = copy_tokenizer(data.config.tokenizer)
        save_model(run, model, config.model, shape, data.classes, dtype=dtype, needs_network=needs_network)
        facts: dict[str, Any] = {
            **student_of(config.model.name).sizes(model),
            "steps": run.history()[-1]["step"],  # fewer than planned where patience ended the training
            "seconds": seconds,
            "notes": notes,
        }
        owned = sum(p.numel() for p in prepared.adapters.parameters())
        if owned:  # trained with the model, and no part of it
            facts["adapter_parameters"] = owned
        if look is not None:
            facts["first_look"] = look.as_dict()
        if initial.is_foreign:  # before the result, which seals the file
            with note_failure("The probe of the network", facts["notes"]):
                write_probe(run, model, initial.probe)
        # the student is compared with the teacher itself, because stored targets may lack classes or temperatures
        device, judge_test = accelerator.device, config.judge_test
        if judge_test:
            with note_failure("The comparison of layers", facts["notes"]):
                keep_layers(run, Module(model), components.teacher, prepared.objective, data.test, device, owned)
        finish_run(run, Module(model), data, facts, components.teacher, device, queried, judge_test=judge_test)
        run.forget_progress()  # last: until there is a result, a run that is killed here resumes
    accelerator.wait_for_everyone()  # the other processes return the run too, and may read it at once
    # for the next run of this process; a look through all objects takes 0.1 s, as long as a small network may learn
    if accelerator.device.type != "cpu" or sum(p.nbytes for p in model.parameters()) > MAX_UNCOLLECTED_BYTES:
        accelerator.free_memory()
