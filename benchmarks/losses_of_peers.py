"""Losses of other libraries, as functions that `instar verify-loss` takes; docs/losses.md has what it says of them.

Each is the library's own loss, with its own defaults unless the name says otherwise. They import their library when
they are called, so that one of them is enough.
"""

# Instar depends on none of these libraries, so each is imported where it is used
from __future__ import annotations

from typing import Any

from torch import Tensor


def torchdistill(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return torchdistill's loss of soft targets and labels, half each."""
    return _torchdistill(student, teacher, labels, temperature, alpha=0.5)


def torchdistill_soft(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return torchdistill's loss of soft targets alone."""
    return _torchdistill(student, teacher, labels, temperature, alpha=0.0)


def _torchdistill(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    from torchdistill.losses.mid_level import KDLoss

    loss = KDLoss("net", "output", "net", "output", temperature, alpha=alpha)
    found: Tensor = loss({"net": {"output": student}}, {"net": {"output": teacher}}, labels)
    return found


def textbrewer(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the loss that TextBrewer's `kd_loss_type` has by default."""
    from textbrewer.losses import kd_ce_loss

    found: Tensor = kd_ce_loss(student, teacher, temperature)
    return found


def modelopt(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the loss of logits of NVIDIA's Model Optimizer."""
    from modelopt.torch.distill import LogitsDistillationLoss

    found: Tensor = LogitsDistillationLoss(temperature)(student, teacher)
    return found


def trl(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the loss of TRL's trainer for generalised knowledge distillation."""
    return _trl(student, teacher, labels=labels, temperature=temperature)


def trl_forward(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the same with beta = 0, which stands for KL(teacher || student)."""
    return _trl(student, teacher, labels=labels, temperature=temperature, beta=0.0)


def _trl(student: Tensor, teacher: Tensor, **settings: Any) -> Tensor:
    from trl.experimental.gkd import GKDTrainer

    found: Tensor = GKDTrainer.generalized_jsd_loss(student, teacher, **settings)
    return found


def keras(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the loss of Keras' `LogitsDistillation`, on the torch backend."""
    from keras.distillation import LogitsDistillation

    found: Tensor = LogitsDistillation(temperature=temperature).compute_loss(teacher, student)
    return found


def keras_divergence(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the same with the Kullback-Leibler divergence."""
    from keras.distillation import LogitsDistillation
    from keras.losses import KLDivergence

    found: Tensor = LogitsDistillation(temperature, loss=KLDivergence()).compute_loss(teacher, student)
    return found
