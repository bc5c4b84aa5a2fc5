"""The references: one epoch in plain PyTorch, as anyone would write it, without records, checks or checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from instar.data import Samples
from instar.models import statistics


def floats_in_memory(samples: Samples, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return normalised float32 inputs and labels as tensors on the device."""
    mean, std = statistics(samples)
    return ((samples.inputs().float() / 255 - mean) / std).to(device), samples.labels.to(device)


def unchanged(inputs: Tensor) -> Tensor:
    """Return the inputs."""
    return inputs


def epoch(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    batch_size: int,
    *,
    teacher: nn.Module | None = None,
    temperature: float = 4.0,
    hard_weight: float = 0.1,
    augment: Callable[[Tensor], Tensor] = unchanged,
    read: Callable[[Tensor], Tensor] = unchanged,
    teacher_read: Callable[[Tensor], Tensor] = unchanged,
    arithmetic: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Train for one epoch by SGD; with a teacher, on T^2 KL(p^T || q^T) and some of the hard labels.

    Args:
        network: the student.
        inputs: float `[samples, ...]`, or what `read` and `teacher_read` make floats of.
        labels: int64 `[samples]`.
        batch_size: samples in a batch.
        teacher: teacher that is queried in each step, in inference mode.
        temperature: T.
        hard_weight: weight of the hard labels beside a teacher.
        augment: augmentation of a batch.
        read: makes the inputs of the student of an augmented batch.
        teacher_read: the same for the teacher.
        arithmetic: returns the context of a forward pass.
    """
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    network.train()
    for rows in torch.randperm(len(inputs), device=inputs.device).split(batch_size):
        batch, answers = augment(inputs[rows]), labels[rows]
        if teacher is None:
            with arithmetic():
                logits = network(read(batch))
            loss = F.cross_entropy(logits.float(), answers)
        else:
            with torch.inference_mode():
                taught = F.softmax(teacher(teacher_read(batch)) / temperature, dim=-1)
            logits = network(read(batch))
            student = F.log_softmax(logits / temperature, dim=-1)
            # a copy, because autograd refuses to save an inference tensor
            loss = temperature**2 * F.kl_div(student, taught.clone(), reduction="batchmean")
            loss = loss + hard_weight * F.cross_entropy(logits, answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def crop_and_flip(inputs: Tensor, padding: int = 4) -> Tensor:
    """Return a random window of each padded image, mirrored or not, for the whole batch at once."""
    number, _, height, width = inputs.shape
    padded = F.pad(inputs, (padding,) * 4, mode="reflect")
    # views of all windows, [batch, channels, top, left, height, width]; only the chosen ones are copied
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    top, left = torch.randint(2 * padding + 1, (2, number), device=inputs.device)
    cropped = windows[torch.arange(number, device=inputs.device), :, top, left]
    flipped = torch.rand(number, device=inputs.device) < 0.5
    return torch.where(flipped[:, None, None, None], cropped.flip(-1), cropped)
