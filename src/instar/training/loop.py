"""The one training loop."""

from __future__ import annotations

import time
from itertools import takewhile

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from instar.compute.execution import place
from instar.compute.precision import use_matmul_library
from instar.config import TrainingConfig
from instar.data.loader import Loader
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.models.modes import set_train_mode
from instar.models.normalised import Normalised
from instar.objectives.objective import Objective
from instar.runs.run import Run
from instar.seeds import seed_everything
from instar.teachers.teacher import Teacher
from instar.training.checkpoint import load_checkpoint, save_checkpoint
from instar.training.diagnosis import explain_nan
from instar.training.finite import Finiteness
from instar.training.optimise import learning_rate
from instar.training.progress import ProgressBar
from instar.training.recorder import Recorder
from instar.training.state import TrainState, initial_state
from instar.training.step import train_step, wrap_model
from instar.training.validation import Validation


def fit(
    model: Normalised,
    objective: Objective,
    loader: Loader,
    config: TrainingConfig,
    run: Run,
    accelerator: Accelerator,
    *,
    teacher: Teacher | None = None,
    adapters: nn.ModuleDict | None = None,
    validation: Samples | None = None,
    show: bool = True,
) -> float:
    """Train `model` in place, from the run's checkpoint if there is one, and return the seconds it took in all.

    A run that was killed resumes from its checkpoint. On a CPU its final weights equal those of an uninterrupted run
    bit for bit, because a batch is a function of its step and the checkpoint holds everything else.

    Args:
        model: is moved to the accelerator's device; the teacher must be there already.
        objective: what is minimised.
        loader: the batches.
        config: settings of the training.
        run: receives metrics and checkpoints.
        accelerator: device and processes. Each process takes its share of every batch.
        teacher: is queried before each update of the student, in eval and inference mode.
        adapters: layers of terms by the name of the term, on the device; they are trained too.
        validation: samples that are evaluated every `evaluate_every` epochs; patience and plateaus need them.
        show: show progress on stderr.

    Raises:
        NonFiniteError: when a loss or a weight becomes NaN or infinite; gives the cause where it can be found.
        MismatchError: when teacher and student share weights, the teacher's weights change, or a batch has fewer
            samples than there are processes.
    """
    refuse_shared_weights(model, teacher)
    # compared at the end, because the user's code may change a teacher unnoticed
    teacher_before = teacher.fingerprint() if teacher else None
    device, steps_per_epoch = accelerator.device, loader.steps_per_epoch
    total_steps = config.epochs * steps_per_epoch
    # before there are moments, which take the device and the memory order of their weights
    place(model, device, config.memory_format)
    finiteness = Finiteness(model)
    state = initial_state(model, config, teacher, adapters)
    done, seconds_before = _resume(run, state, total_steps, accelerator)
    student = wrap_model(state, objective, loader, config, accelerator)
    # after the checkpoint, because scores of later steps do not count
    watch = Validation(run, validation, config, steps_per_epoch, done, accelerator)
    # batches and targets are functions of the step, so a bad step can be computed again to explain it
    recorder = Recorder(run, steps_per_epoch, lambda step: explain_nan(loader.batch(step - 1), teacher, step == 1))
    started = last_saved = time.monotonic()
    watch.begin(state)
    set_train_mode(model)
    with (
        ProgressBar(run.path.name, total_steps, done, show=show and accelerator.is_main_process) as bar,
        use_matmul_library(config.precision),
    ):
        for step in takewhile(lambda _: not watch.is_over, range(done, total_steps)):
            # from the step and the scores, not from the rate before, so that a resumed run has the same
            rate = learning_rate(config, step, steps_per_epoch, watch.plateaus)
            state.optimiser.param_groups[0]["lr"] = rate
            train_step(student, objective.at(step / total_steps), teacher, loader.batch(step), recorder)
            # losses are read in the steps that write a line, because reading one waits for the accelerator
            last = step + 1 == total_steps
            seconds = seconds_before + time.monotonic() - started
            due = time.monotonic() - last_saved >= config.checkpoint_seconds
            # all processes write a line together, and their clocks differ
            asked = (step + 1) % config.log_every == 0 or (due and accelerator.num_processes == 1)
            line = last or asked or watch.may_end(step + 1)
            if line:
                means = recorder.flush(step + 1, rate, seconds, accelerator)
                bar.advance(0, note=f"loss {means['loss']:.4f}")
            # before the checkpoint: a run that resumes from it must find the score of its step
            if watch.is_due(step + 1):
                watch.score(step + 1, state)
            # only after a line, which has found all losses up to this step finite
            if line and agree(last or due, accelerator):
                save_checkpoint(run, state, step + 1, seconds, accelerator, finiteness)
                last_saved = time.monotonic()
            bar.advance()
    watch.finish(state)
    model.eval()
    if teacher and teacher.fingerprint() != teacher_before:
        raise MismatchError("the teacher's weights have changed during training; the result would mean nothing.")
    return seconds_before + time.monotonic() - started


def agree(choice: bool, accelerator: Accelerator) -> bool:
    """Return the choice of the first process, because a process that saves alone would wait for the others for ever."""
    if accelerator.num_processes == 1:
        return choice
    return bool(broadcast(torch.tensor(int(choice), device=accelerator.device)))


def refuse_shared_weights(model: nn.Module, teacher: Teacher | None) -> None:
    """Refuse a student that shares weights with its teacher: it would be its own target.

    Raises:
        MismatchError: when any weight of both is in the same memory.
    """
    networks = teacher.modules() if teacher else []
    # addresses, because a view shares memory without being the same object; all empty tensors have the address 0
    taught = {p.data_ptr() for network in networks for p in network.parameters() if p.numel()}
    if any(p.data_ptr() in taught for p in model.parameters()):
        raise MismatchError("teacher and student share weights; give the student weights of its own.")


def _resume(run: Run, state: TrainState, total_steps: int, accelerator: Accelerator) -> tuple[int, float]:
    """Load the checkpoint of a run, if there is one, and return the steps that are done and the seconds they took."""
    done, seconds = load_checkpoint(run, state, total_steps)
    if accelerator.is_main_process:
        run.metrics_log.forget_after(done)  # lines after the checkpoint, whose steps are taken again
    else:  # each process has dropout masks of its own; the checkpoint has the random state of the first only
        seed_everything(torch.initial_seed(), "process", accelerator.process_index, done)
    return done, seconds
