"""`instar correct-bias`: repair a student whose transfer set lacked classes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from instar.analysis.scores import UNLABELLED
from instar.checks import checked
from instar.compute.inputs import as_shapes
from instar.config import ModelConfig
from instar.data.dataset import Data
from instar.data.samples import Samples
from instar.errors import ConfigError, DataError
from instar.models.normalised import Normalised
from instar.models.probe import PROBE_FILE, read_probe, write_probe
from instar.models.trained import TrainedRun, load_model, network_of, save_model
from instar.paths import local_path
from instar.runs.documents import ModelFile
from instar.runs.run import Run
from instar.stages.finish import finish_run
from instar.stages.run_data import read_run_data
from instar.stages.weights import few_inputs
from instar.teachers.module import Module
from instar.training.bias import labelled_offset, prior_offset, shift_logits
from instar.training.scoring import predict

Rule = Literal["prior", "labelled"]


@checked
def correct_bias(
    run: Run | str | Path,
    classes: Sequence[str],
    *,
    out: str | Path,
    rule: Rule = "prior",
    offset: float | None = None,
    prior: Sequence[float] | None = None,
    data: Data | str | Sequence[Any] | None = None,
    trust: bool = False,
    network: nn.Module | str | None = None,
) -> TrainedRun:
    """Shift the logits of named classes, and store the shift in the last bias of a copy of the model.

    Rule "prior" needs no labels of samples: it shifts each named class until its mean predicted probability over the
    whole train split equals its prior. Rule "labelled" chooses one offset for all named classes, the one with the
    fewest errors on the labelled validation split. Both use only samples, or positions, that have a loss.

    Source: Hinton et al. 2015, section 3, which found the offsets on the test set.

    Args:
        run: complete run, or its folder.
        classes: names of the classes to shift.
        out: folder of the corrected run.
        rule: rule that finds the offset.
        offset: offset of every named class in nats, instead of the rule; for published offsets.
        prior: share of every class, summing to 1; None counts the labels of the whole train split.
        data: data for the rule; None takes the data that the run was trained on.
        trust: allow model classes outside `instar.models`.
        network: network of a run folder that needs it: a module, or the `package.module:name` of a function that
            makes it.

    Raises:
        ConfigError: for an unknown rule, or priors that do not fit.
        DataError: for an unknown class, or without a validation split for rule "labelled".
    """
    out = local_path(out, "out")
    run = run if isinstance(run, Run) else Run(run)
    run.require_complete()
    loaded = read_run_data(run, data, splits=("train", "test"), trust=trust)
    named = loaded.train.class_indices(list(classes)).tolist()
    correction = {
        "classes": list(classes),
        "rule": rule if offset is None else "given",  # a published offset follows no rule
        "offset": offset,
        "prior": list(prior) if prior is not None else None,
    }
    config = run.config | {"correction": correction, "corrected": str(run.path)}
    network = network_of(run) if network is None else network  # the corrected run needs it as the first one did
    if data is not None:
        config["data"] = loaded.config.model_dump(mode="json")
    # the weights themselves, because the folder of the student may be trained anew
    fingerprints = run.fingerprints | {"data": loaded.fingerprints(), "run": _hash_weights(run)}
    with Run.held(out, config, fingerprints) as made:
        corrected = TrainedRun(made.path, trust=trust, network=network)
        if not corrected.complete:
            started = time.monotonic()
            model = load_model(run, trust=trust, network=network)
            shift = _find_shift(model, loaded, named, rule, offset, prior)
            shift_logits(model, shift, few_inputs(loaded, model.reader))
            _save_in(corrected, model, run)
            facts = {
                "parameters": run.result["parameters"],
                "offset": {name: shift[index].item() for name, index in zip(classes, named, strict=True)},
                "seconds": time.monotonic() - started,
            }
            finish_run(corrected, Module(model), loaded, facts)
    return corrected


def _save_in(corrected: Run, model: Normalised, run: Run) -> None:
    # the description of the student stays true, since only a bias has changed
    described = run.document("model.json", ModelFile)
    kept = ModelConfig(name=described.name, arguments=described.arguments)
    shape, names = as_shapes(described.input_shape), tuple(described.classes)
    needs_network = described.needs_network
    save_model(corrected, model, kept, shape, names, dtype=described.dtype, needs_network=needs_network)
    if (run.path / PROBE_FILE).is_file():  # the corrected model returns other logits for it
        write_probe(corrected, model, read_probe(run)[0])


def _find_shift(
    model: nn.Module,
    data: Data,
    named: list[int],
    rule: Rule,
    offset: float | None,
    prior: Sequence[float] | None,
) -> Tensor:
    if offset is not None:
        shift = torch.zeros(data.train.num_classes)
        shift[named] = offset
        return shift
    if rule == "labelled":
        # samples without a loss need no label: they are not judged either
        if data.validation is None or (_select_with_loss(data.validation, data.validation.labels) == UNLABELLED).any():
            raise DataError("rule 'labelled' needs a labelled validation split; set validation above 0.")
        logits = _select_with_loss(data.validation, predict(Module(model), data.validation))
        return labelled_offset(logits, _select_with_loss(data.validation, data.validation.labels), named)
    # the mean over all samples, also of classes that the transfer set left out, estimates the prior
    probe = Samples.all_of(data.train.source)
    if prior is None:
        labels = _select_with_loss(probe, probe.labels)
        if (labels == UNLABELLED).any():
            raise ConfigError("the train split has samples without labels; give the prior of every class (prior=).")
        # [classes]; 0 for a class without a sample, which prior_offset refuses to shift
        shares = torch.bincount(labels, minlength=probe.num_classes) / len(labels)
    else:
        shares = torch.tensor(list(prior), dtype=torch.float32)
        # published shares are rounded, so their sum may be off by a little
        if len(shares) != probe.num_classes or abs(float(shares.sum()) - 1) > 1e-3:
            raise ConfigError(f"prior must have {probe.num_classes} shares that sum to 1, got {list(prior)}.")
    return prior_offset(_select_with_loss(probe, predict(Module(model), probe)), named, shares)


def _select_with_loss(samples: Samples, found: Tensor) -> Tensor:
    # [samples, (position), ...] to [examples, ...], without padding and what a mask leaves out
    valid = samples.source.valid(samples.ids)
    return found.flatten(0, samples.labels.dim() - 1) if valid is None else found[valid]


def _hash_weights(run: Run) -> str:
    with run.weights.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
