"""A step with a copy of the user's student: what cannot be trained is refused before the run folder exists."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from instar.compute.inputs import Inputs
from instar.compute.precision import autocast, to_loss_dtype
from instar.compute.projected import Projected
from instar.config import TrainingConfig
from instar.data.batch import Batch
from instar.data.loader import Loader
from instar.errors import ConfigError, InstarError, MismatchError
from instar.models.copying import copy_network
from instar.models.failures import explain_error
from instar.models.modes import set_train_mode
from instar.models.normalised import Normalised, dtype_of
from instar.models.probe import are_close, compute_logits
from instar.training.optimise import BOUNDED_LAYERS, make_optimiser
from instar.training.step import share_batch


def refuse_computed_weights(network: nn.Module) -> None:
    """Refuse to bound the norms of weights that are computed from others, because the next step would undo it.

    Raises:
        ConfigError: names the layer.
    """
    for name, layer in network.named_modules():
        # such a weight is a plain tensor or a property, and its parameters have other names
        if isinstance(layer, BOUNDED_LAYERS) and layer._parameters.get("weight") is None:
            raise ConfigError(
                f"the weight of '{name}' is computed from others (weight_norm, parametrizations, pruning), so "
                "training.max_norm cannot bound it; leave max_norm out."
            )


def rehearse(model: Normalised, loader: Loader, config: TrainingConfig, accelerator: Accelerator) -> list[str]:
    """Take two steps with a copy of the model, on the smallest part of a batch that the run will see.

    All that the steps change must be in the weights and buffers of the copy: a run folder holds no more.

    Returns:
        The names of the trained weights that the logits do not depend on.

    Raises:
        MismatchError: in a sentence, when the forward pass, the backward pass or the optimiser fails, or something else
            than weights and buffers has changed.
    """
    part = min(_parts(loader, config, accelerator), key=len)  # a batch normalisation fails on a single sample
    inputs = part.read(model.reader)
    copied = copy_network(model)
    set_train_mode(copied)
    try:
        optimiser = make_optimiser(copied, config)
        for _ in range(2):  # a network that keeps the graph of a step fails at the next one
            with autocast(config.precision, accelerator.device):
                logits = copied(inputs)
            logits = to_loss_dtype(logits.logits() if isinstance(logits, Projected) else logits)
            logits.square().mean().backward()  # any loss will do, so the user's terms and the teacher stay out of it
            optimiser.step()
        trained = {name: p for name, p in copied.network.named_parameters() if p.requires_grad}
        unused = [name for name, p in trained.items() if p.grad is None]
        if len(unused) == len(trained):  # such as of a wrapper that keeps the network in a list
            raise MismatchError("the logits depend on no weight of the student; forward may call another module's.")
        _refuse_other_changes(model, copied, inputs)
    except InstarError:
        raise
    except torch.OutOfMemoryError:  # no fault of the network: the copy was one too many
        return []
    except Exception as error:  # of code of the user's
        sizes = f"batch_size {config.batch_size}, micro_batches {config.micro_batches}"
        alone = f" on a single sample, all that some steps of this run see at once ({sizes})" if len(part) == 1 else ""
        raise MismatchError(f"the student cannot be trained{alone}: {explain_error(error)}.") from None
    return unused


def _refuse_other_changes(model: Normalised, trained: Normalised, inputs: Inputs) -> None:
    """Refuse a network of which training changes more than the values in its `state_dict`.

    Raises:
        MismatchError: names the weight or buffer that forward makes or resizes, where it is one.
    """
    before, after = model.network.state_dict(), trained.network.state_dict()
    for name in {**before, **after}:
        if name not in before or name not in after or before[name].shape != after[name].shape:
            raise MismatchError(
                f"training makes, removes or resizes '{name}' of the student, so its run folder could not be loaded; "
                "make it in __init__, in its final shape."
            )
    # what another process would have after loading the run folder
    loaded = copy_network(model)
    loaded.load_state_dict(trained.state_dict())
    if not are_close(compute_logits(loaded, inputs), compute_logits(trained, inputs), dtype_of(model.network)):
        raise MismatchError(
            "training changes something of the student that is not in its state_dict, so its run folder would lack it; "
            "keep it in a buffer (register_buffer) that is persistent."
        )


def has_batch_statistics(network: nn.Module) -> bool:
    """Return whether any layer in train mode needs the statistics of a batch, which a single sample may not have."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in network.modules())


def least_part(loader: Loader, config: TrainingConfig, accelerator: Accelerator) -> int:
    """Return the smallest number of samples that go through the network at once."""
    return min(map(len, _parts(loader, config, accelerator)))


def _parts(loader: Loader, config: TrainingConfig, accelerator: Accelerator) -> list[Batch]:
    """Return the parts of the first batch of an epoch, and of the last two, which are smaller."""
    steps = loader.steps_per_epoch
    # each batch of a stream has one row per column, so none is smaller
    chosen = {0} if loader.samples.source.task.is_stream else {0, max(0, steps - 2), steps - 1}
    return [
        part
        for step in sorted(chosen)
        for part in share_batch(loader.batch(step), accelerator).parts(config.micro_batches)
    ]
