"""Initial weights from another run, with the last layer fitted to the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.models.build import last_layer
from instar.models.normalised import dtype_of, reader_in
from instar.models.probe import NUM_PROBE_INPUTS, are_close, compute_logits
from instar.models.trained import load_model
from instar.runs.run import Run

NUM_FITTED_SAMPLES = 4096
"""Number of samples to fit the unit of a class that stands for several classes."""


def start_from(
    run: Run,
    model: nn.Module,
    classes: tuple[str, ...],
    samples: Samples,
    *,
    trust: bool = False,
) -> None:
    """Copy the weights of a run into a model of the same architecture, which may have other classes.

    Units of common classes are copied. One class of the model, such as a dustbin, may stand for all classes that only
    the run has. Its unit is fitted to the logsumexp of their logits by least squares, so that the model starts with
    nearly the sum of their probabilities.

    Args:
        run: run to copy weights from.
        model: model to change in place.
        classes: classes of the model.
        samples: samples to fit the unit on.
        trust: allow a model class outside `instar.models`.

    Raises:
        MismatchError: when the architectures or their functions differ, no class is common, or several classes are new.
    """
    theirs = load_model(run, trust=trust)
    known, common = list(run.classes), list(range(len(classes)))
    weights = theirs.state_dict()
    few_ids = samples.ids[:NUM_PROBE_INPUTS]
    few = _raw_inputs(theirs, samples, few_ids)
    if tuple(known) != classes:
        name, layer = last_layer(theirs, len(known), "be fitted to other classes", few)
        common, left = _match_classes(known, classes)
        # [class, input and 1]: a bias is the weight of an input that is always 1
        units = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
        rows = units[[max(index, 0) for index in common]]  # the row of a new class (-1) is replaced below
        if left:
            rows[common.index(-1)] = _fit_unit(theirs, layer, units[left], samples)
        weights[f"{name}.weight"], weights[f"{name}.bias"] = rows[:, :-1], rows[:, -1]
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MismatchError(f"the model cannot start from '{run.path}', whose model differs: {reason}.") from None
    # equal shapes do not make equal functions: a class with other arguments may have another activation
    kept = [index for index, their_index in enumerate(common) if their_index >= 0]
    wanted = compute_logits(theirs, few)[..., [common[index] for index in kept]]
    found = compute_logits(model, _raw_inputs(model, samples, few_ids))[..., kept]
    if not are_close(found, wanted, dtype_of(model)):
        raise MismatchError(
            f"the model cannot start from '{run.path}', whose model differs: with the same weights it computes other "
            "logits. Give the model the arguments of that run's."
        )


def _raw_inputs(model: nn.Module, samples: Samples, ids: Tensor) -> Inputs:
    return reader_in(model).gather(lambda column: samples.source.take(column, ids))


def _match_classes(known: list[str], classes: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Return the index of each class in `known` (-1: new), and the indices of `known` that a new class stands for."""
    common = [known.index(name) if name in known else -1 for name in classes]
    left = [index for index in range(len(known)) if index not in common] if -1 in common else []
    own = common.count(-1)
    if own == len(classes) or own > 1 or (own and not left):
        raise MismatchError(
            f"the model cannot start from a run with {len(known)} classes ({', '.join(known[:5])}, ...): "
            f"{own} of its {len(classes)} classes are not among them. Keep one at least, and add at most one new class "
            "for those left out."
        )
    return common, left


@torch.no_grad()
def _fit_unit(model: nn.Module, layer: nn.Linear, units: Tensor, samples: Samples) -> Tensor:
    """Return the unit (w, b) that is nearest to log sum_c exp(w_c h + b_c) over the inputs h of the last layer."""
    # the mean of the units with the bias raised by log n would be simpler, but it is only a lower bound, and far too
    # low wherever a single class is likely
    seen: list[Tensor] = []  # [example, input] each; flattened, because positions are examples
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten(0, -2).double()))
    ids = samples.ids[:: -(-len(samples) // NUM_FITTED_SAMPLES)]
    for part in ids.split(256):
        model(_raw_inputs(model, samples, part))
    hook.remove()
    h = torch.cat([torch.cat(seen), torch.ones(sum(map(len, seen)), 1, dtype=torch.float64)], 1)
    mean = units.double().mean(0)
    wanted = (h @ units.double().t()).logsumexp(1) - h @ mean
    # the smallest change of the mean, by singular values (gelsd), because an input that is never active leaves its
    # weight undetermined
    change: Tensor = torch.linalg.lstsq(h, wanted[:, None], driver="gelsd").solution[:, 0]
    return (mean + change).to(units)
