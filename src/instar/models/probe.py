"""Logits about a few inputs that a run folder keeps, so that no other network is ever taken for its own.

A class of the user's may have changed since, or a module of equal shapes may be given in its place: the weights fit,
and it is another function. The families of `instar.models` need no such check.
"""

from __future__ import annotations

import torch
from torch import Tensor

from instar.compute.projected import Projected
from instar.errors import MismatchError, RunError, shortened
from instar.models.copying import copy_network
from instar.models.modes import in_eval_mode
from instar.models.normalised import Normalised, dtype_of
from instar.runs.files import write_tensors
from instar.runs.run import Run

PROBE = "probe.safetensors"
"""Raw inputs `[n, ...]` and the logits about them."""

PROBED = 4
"""Inputs that are kept."""


def write_probe(run: Run, model: Normalised, inputs: Tensor) -> None:
    """Keep the logits of a trained model about raw inputs `[n, ...]`, found on the CPU as a later check will.

    Nothing is kept of a model that answers otherwise when it is asked again.
    """
    copied = copy_network(model).cpu()
    logits = answers(copied, inputs)
    if torch.allclose(logits, answers(copied, inputs), equal_nan=True):
        write_tensors(run.path / PROBE, {"inputs": inputs, "logits": logits})


def refuse_another_network(run: Run, model: Normalised) -> bool:
    """Compare a model that was loaded, on the CPU, with what its run folder keeps of it.

    Returns:
        Whether it keeps something: older folders do not.

    Raises:
        MismatchError: when its logits are others.
    """
    if not (run.path / PROBE).is_file():
        return False
    tensors, _ = run.tensors(PROBE)
    if tensors.keys() != {"inputs", "logits"}:
        raise RunError(f"'{run.path / PROBE}' is damaged: it must hold inputs and logits, and has {sorted(tensors)}.")
    try:
        found = answers(model, tensors["inputs"])
    except Exception as error:  # of a network of the user's
        raise MismatchError(
            f"the network that was made for '{run.path}' cannot answer about its inputs: {shortened(error)}."
        ) from None
    if not alike(found, tensors["logits"], dtype_of(model.network)):
        raise MismatchError(
            f"the network that was made for '{run.path}' is not the one that was trained: with the same weights its "
            "logits are others. Give the module as it was trained as network=."
        )
    return True


@torch.no_grad()
def answers(model: Normalised, inputs: Tensor) -> Tensor:
    """Return logits in eval mode, float32 on the CPU; the same random numbers are drawn every time, if any are."""
    with in_eval_mode(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = model(inputs)
    return (logits.logits() if isinstance(logits, Projected) else logits).float().cpu()


def alike(found: Tensor, wanted: Tensor, dtype: torch.dtype) -> bool:
    """Whether logits differ by rounding alone, which depends on the dtype of the weights and on the machine."""
    if found.shape != wanted.shape:
        return False
    finite = wanted.isfinite()
    if not torch.equal(found[~finite].nan_to_num(), wanted[~finite].nan_to_num()):
        return False
    if not finite.any():
        return True
    relative = max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) ** 0.5
    allowed = relative * wanted[finite].abs().max() + 1e-6
    return bool(((found - wanted)[finite].abs() <= allowed).all())
