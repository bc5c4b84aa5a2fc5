"""Optimisers, learning rates as functions of the step, and what happens to weights after a step."""

from __future__ import annotations

import inspect
import math

import torch
from torch import Tensor, nn

from instar.config import TrainingConfig
from instar.models.copying import copy_network
from instar.training.finite import averages

BOUNDED_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers whose incoming weights `max_norm` bounds."""


class _Eager(torch.optim.Optimizer):
    # torch wraps these methods for its compiler, whose import takes a second before the first step; they are not
    # compiled here, so what is wrapped is called
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class _EagerSGD(_Eager, torch.optim.SGD):
    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


class _EagerAdamW(_Eager, torch.optim.AdamW):
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))


def make_optimiser(
    model: nn.Module, config: TrainingConfig, adapters: nn.Module | None = None
) -> torch.optim.Optimizer:
    """Return the optimiser of a configuration, of a model and of what terms own. SGD uses Nesterov momentum if above 0.

    Args:
        model: model to train.
        config: settings of the training.
        adapters: layers of terms, whose weights come after those of the model.
    """
    networks = [model] if adapters is None else [model, adapters]
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    # fused: one kernel for all weights instead of one or more for each
    if config.optimiser == "sgd":
        return _EagerSGD(
            parameters,
            config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,  # torch refuses it without momentum
            weight_decay=config.weight_decay,
            fused=True,
        )
    return _EagerAdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True)


def learning_rate(config: TrainingConfig, step: int, steps_per_epoch: int, plateaus: int = 0) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises linearly to the peak rate r during warm-up. Afterwards, with u in [0, 1) the share of the remaining steps
    that are done: constant r; linear r (1 - u); cosine r (1 + cos(pi u)) / 2; step r factor^(milestones passed);
    plateau r factor^plateaus, where a plateau is a validation that is not better than the best one before it.

    >>> config = TrainingConfig(epochs=10, learning_rate=1.0, schedule="cosine", warmup_epochs=2)
    >>> [round(learning_rate(config, step, 1), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.038]
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup  # + 1, because a rate of 0 would waste the first step
    total = config.epochs * steps_per_epoch
    share = (step - warmup) / max(1, total - warmup)
    match config.schedule:
        case "constant":
            factor = 1.0
        case "linear":
            factor = 1 - share
        case "cosine":
            factor = (1 + math.cos(math.pi * share)) / 2
        case "step":  # milestones are epochs from the start, warm-up included
            factor = config.factor ** sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
        case "plateau":
            factor = config.factor**plateaus
    return config.learning_rate * factor


@torch.no_grad()
def constrain_norms(model: nn.Module, limit: float) -> None:
    """Scale the incoming weights w of every trained unit to w min(1, limit / ||w||): the max-norm constraint.

    Source: Hinton et al. 2012, section 2.

    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    >>> constrain_norms(layer, 1.0); layer.weight.tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    for module in model.modules():
        if isinstance(module, BOUNDED_LAYERS) and module.weight.requires_grad:
            norms = torch.linalg.vector_norm(module.weight.flatten(1), dim=1)  # [units]
            # a norm of 0 gives infinity, which is cut to 1, so weights of 0 do not become NaN
            scale = (limit / norms).clamp_(max=1).view(-1, *[1] * (module.weight.dim() - 1))
            module.weight.mul_(scale)


class WeightAverage:
    """An exponential moving average of weights and buffers: a <- decay a + (1 - decay) w after each step.

    The decay of the first steps is at most (1 + step) / (10 + step), so that initial weights lose their share soon.

    Args:
        model: whose weights are averaged.
        decay: in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._averaged = [name for name, tensor in self.values.items() if averages(tensor)]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after `step`."""
        current = self.model.state_dict()
        decay = min(self.decay, (1 + step) / (10 + step))
        names = self._averaged
        # one call for all tensors, because launching a kernel for each takes longer than its arithmetic
        torch._foreach_lerp_([self.values[n] for n in names], [current[n] for n in names], 1 - decay)
        for name in self.values.keys() - set(names):  # neither counters nor masks of -inf are averaged
            self.values[name].copy_(current[name])

    def averaged(self) -> nn.Module:
        """Return a copy of the model with the averages as its weights."""
        copied = copy_network(self.model)
        copied.load_state_dict(self.values)
        return copied

    def load(self, values: dict[str, Tensor]) -> None:
        """Restore the averages of a checkpoint."""
        for name, tensor in values.items():
            self.values[name].copy_(tensor)  # in place, which moves it to the device of the model
