"""One step: the gradients of the mean loss over a batch, part by part and process by process, and the new weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from instar.compute.allocator import freed_memory_kept
from instar.compute.execution import Compiled
from instar.compute.precision import autocast
from instar.compute.projected import Projected
from instar.config import TrainingConfig
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.errors import MismatchError
from instar.models.failures import name_failure
from instar.models.hooks import keep_outputs
from instar.models.layer_gradients import replace_by_gradients
from instar.models.named_layers import Layers, quote_names
from instar.models.outputs import Outputs, refuse_other_rows
from instar.objectives.features.adapters import Adapters
from instar.objectives.objective import Objective
from instar.objectives.values import Hidden
from instar.targets.answer import Answer
from instar.targets.targets import Targets
from instar.teachers.teacher import Teacher, ask
from instar.training.gradient_terms import GradientTerms
from instar.training.optimise import constrain_norms
from instar.training.recorder import Recorder
from instar.training.state import TrainState


@dataclass(frozen=True, eq=False)
class TrainingModel:
    """A model in the form that training calls.

    Args:
        state: the model, and everything else that a step changes.
        network: the model, shared by processes and compiled for full batches.
        config: settings of the training.
        accelerator: device and processes.
        layers: layers whose outputs the objective compares, by name.
    """

    state: TrainState
    network: nn.Module | Compiled
    config: TrainingConfig
    accelerator: Accelerator
    layers: Mapping[str, nn.Module] = field(default_factory=dict)

    def __call__(self, part: Batch) -> Outputs:
        """Return the logits of a part of a batch, a tensor or `Projected`, and the outputs of its layers."""
        # the first hidden state is the student's, those of its teachers follow
        with (
            autocast(self.config.precision, self.accelerator.device),
            name_failure("the student", self.state.model, part),
            keep_outputs(self.layers, "the student") as features,
        ):
            logits = self.state.carried[0](self.network, part.read(self.state.model.reader), part)
        replace_by_gradients(features, logits, part.labels, "the student", keep_graph=True)
        refuse_other_rows(features, len(part), "the student")
        return Outputs(logits, features)

    def synchronise(self, is_due: bool) -> AbstractContextManager[None]:
        """Return the context of a forward and backward pass, in which processes exchange gradients if `is_due`."""
        context: AbstractContextManager[None] = nullcontext() if is_due else self.accelerator.no_sync(self.network)
        return context


def wrap_model(
    state: TrainState, objective: Objective, loader: Loader, config: TrainingConfig, accelerator: Accelerator
) -> TrainingModel:
    """Return a model in the form that training calls: shared by processes, and compiled if the settings say so."""
    # compiled last, because `Compiled` calls the network that exchanges gradients
    # placed as told: accelerate would import torch's distributed tensors for half a second, to look for them
    network = accelerator.prepare_model(state.model, device_placement=accelerator.device_placement)
    if config.compile:
        network = Compiled(network, part_sizes(loader, config, accelerator))
    names = objective.student_layers
    layers = Layers.of(state.model, "the student").select(names) if names else {}
    return TrainingModel(state, network, config, accelerator, layers)


def train_step(
    student: TrainingModel, objective: Objective, teacher: Teacher | None, batch: Batch, recorder: Recorder
) -> None:
    """Change the weights once: gradients of a batch, optimiser, max-norm constraint, moving average."""
    state, max_norm = student.state, student.config.max_norm
    with freed_memory_kept():
        # None instead of zeros: weights that a batch does not use then keep their value, and their moments; by hand,
        # because the profiling and grouping of `zero_grad` take as long as a small layer
        for group in state.optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        find_gradients(student, objective, teacher, batch, recorder)
        state.optimiser.step()
    # before the average, which is of the weights that the next step starts from
    if max_norm:
        constrain_norms(state.model, max_norm)
    if state.average:
        state.average.update(batch.step)
    for adapters in state.adapters.children():
        assert isinstance(adapters, Adapters), "terms make them"
        adapters.update()  # buffers, which the backward pass has read until now


def find_gradients(
    student: TrainingModel, objective: Objective, teacher: Teacher | None, batch: Batch, recorder: Recorder
) -> None:
    """Add up the gradients of the mean loss over a batch, part by part, each process taking its share, and clip them.

    Where gradients are measured, that happens before the backward pass of each part and leaves the graph as it was.
    """
    config, accelerator, model = student.config, student.accelerator, student.state.model
    parts = list(share_batch(batch, accelerator).parts(config.micro_batches))
    count = batch.count()  # of the whole batch, in all processes; 0 if no position is valid
    # one part at a time: the targets of all parts would take the memory that micro-batches save
    wanted = objective.teacher_layers
    answers: Iterable[Answer | None] = (ask(teacher, part, wanted) if teacher else None for part in parts)
    totals: Tensor | None = None
    if objective.weighs_examples:  # weights of examples depend on the targets of the whole batch
        answers = list(answers)
        pairs = zip(parts, answers, strict=True)
        found = [objective.totals(part, _targets_of(answer)) for part, answer in pairs]
        totals = accelerator.reduce(torch.stack(found).sum(0))
    every = config.gradients_every
    terms = GradientTerms(model) if every and (batch.step + 1) % every == 0 else None
    for number, (part, answer) in enumerate(zip(parts, answers, strict=True), start=1):
        targets = _targets_of(answer)
        # gradients add up locally, and travel once, with those of the last part
        with student.synchronise(number == len(parts)):
            outputs = student(part)
            refuse_untaught(objective, outputs.features)
            logits, hidden = outputs.logits, _hidden_of(student, outputs, answer, part)
            if terms and isinstance(logits, Projected):  # gradients are measured class by class
                logits = logits.logits()
            loss, sums = objective(logits, part, targets, totals, hidden=hidden, keep_logits=terms is not None)
            if terms:
                terms.add(loss / max(1, count), logits, part, targets)
            # processes average their gradients, and the loss is a mean over the whole batch
            with name_failure("the backward pass of the student", model, part):
                accelerator.backward(loss * (accelerator.num_processes / max(1, count)))
        recorder.add(sums)
    if terms:
        recorder.measure(batch.step + 1, terms.numbers(accelerator))
    recorder.end_step(count)
    # the norm of the whole batch, so only after its last part
    for parameter in student.state.adapters.parameters():  # which no wrapper of the model exchanges
        if accelerator.num_processes > 1 and parameter.grad is not None:
            parameter.grad = accelerator.reduce(parameter.grad, "mean")
    if config.gradient_clip:
        trained = [*model.parameters(), *student.state.adapters.parameters()]
        nn.utils.clip_grad_norm_(trained, config.gradient_clip)


def _hidden_of(student: TrainingModel, outputs: Outputs, answer: Answer | None, part: Batch) -> Hidden | None:
    if answer is None or not student.layers:
        return None
    inputs = part.read(student.state.model.reader)
    return Hidden.of(outputs.features, answer.features, student.state.adapters, inputs)


def refuse_untaught(objective: Objective, features: Mapping[str, Tensor]) -> None:
    """Refuse a term of hidden layers from which no gradient reaches the student.

    Args:
        objective: objective of the step.
        features: outputs of the student's layers by name.

    Raises:
        MismatchError: names the term and its layers.
    """
    for weight, term in objective.parts:
        if weight and term.layers and not any(features[name].requires_grad for name in term.layers):
            raise MismatchError(
                f"{type(term).__name__} cannot teach the student, because no gradient reaches its layers "
                f"{quote_names(term.layers)}: the weights before them are frozen, or they are computed without "
                "gradients; choose later layers, or give the term a weight of 0."
            )


def _targets_of(answer: Answer | None) -> Targets | None:
    return None if answer is None else answer.targets


def share_batch(batch: Batch, accelerator: Accelerator) -> Batch:
    """Return this process's part of a batch.

    Raises:
        MismatchError: when a process would have no sample.
    """
    number, index = accelerator.num_processes, accelerator.process_index
    if number == 1:
        return batch
    if len(batch) < number:
        raise MismatchError(f"{number} processes cannot share a batch of {len(batch)} samples; raise batch_size.")
    return batch.part(len(batch) * index // number, len(batch) * (index + 1) // number)


def part_sizes(loader: Loader, config: TrainingConfig, accelerator: Accelerator) -> set[int]:
    """Return the sizes in which a full batch goes through the network: one, or two that differ by a sample."""
    return {len(part) for part in share_batch(loader.batch(0), accelerator).parts(config.micro_batches)}
