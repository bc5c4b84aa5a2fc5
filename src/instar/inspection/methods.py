"""The methods of a comparison: run folders that differ only in their seed, with their test predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from instar.analysis.linearised import Linearised
from instar.analysis.numbers import compare_with_teacher, linearise_numbers
from instar.analysis.resampling import Counts, Numbers
from instar.analysis.scores import UNLABELLED, Scores
from instar.config import default_settings
from instar.errors import ConfigError, MismatchError, RunError
from instar.nested import flatten
from instar.paths import given_path
from instar.runs.phases import is_earlier_phase, start_folder
from instar.runs.predictions import read_predictions
from instar.runs.rows import RunRow, collect
from instar.runs.run import Run
from instar.tasks.catalogue import known_metrics
from instar.teachers.run_folders import ENSEMBLE, SPECIALISTS

NUMBERS_OF_TEACHER = "test.numbers_of_teacher"
_RUN_SETTINGS = ("teachers", "start", "corrected")
"""Settings that name run folders; a comparison looks at the settings in these folders, not at their names."""


@dataclass(frozen=True, eq=False)
class MethodPredictions:
    """Predictions of a run for the labelled test samples.

    Args:
        ids: ids of the samples, int64 `[samples]`.
        labels: labels of the samples, `[samples]` or `[samples, position]`; numbers where labels are numbers.
        examples: number of labelled examples per sample, `[samples]`.
        wrong: number of wrong predictions per sample, `[samples]`; None where labels are numbers.
        nll: NLL per sample, summed over its examples, in nats, `[samples]`; None where labels are numbers.
        statistics: metrics of all samples together by name; none for samples with positions, or without logits.
        with_teacher: statistics of its teacher and of the run by name, where it predicts numbers and has stored its
            teacher's; see `compare_with_teacher`.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    examples: Counts
    wrong: Counts | None
    nll: Numbers | None
    statistics: Mapping[str, Linearised] = field(default_factory=dict)
    with_teacher: Mapping[str, tuple[Linearised, Linearised]] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> MethodPredictions:
        """Read the predictions of a run: logits, or NLL and predicted class if the run stored no logits."""
        tensors = read_predictions(run)
        try:
            if "test.numbers" in tensors:
                return cls._of_numbers(tensors)
            ids, labels = tensors["test.ids"], tensors["test.labels"]
            if "test.logits" in tensors:
                # [samples, (position), classes] to [examples, classes]
                scores = Scores.of(tensors["test.logits"].flatten(0, -2), labels.flatten())
                wrong, nll = scores.wrong, scores.nll
            else:  # with very many classes a run stores these two numbers, the class as a float
                nll, predicted = tensors["test.nll_and_answer"].flatten(0, -2).unbind(-1)
                wrong = predicted.long() != labels.flatten()
        except KeyError as error:
            raise RunError(f"'{run.path}' cannot be compared: its predictions have no {error}.") from None
        # [samples, positions]; a sample without positions has one
        known = labels.flatten(1) != UNLABELLED if labels.dim() > 1 else (labels != UNLABELLED)[:, None]
        kept = known.any(1)  # nothing can be said of a sample without a single label
        wrong = (wrong.view(known.shape) & known).sum(1)
        # the NLL of unlabelled examples is NaN; float64 for the sum over the positions of long texts
        nll = nll.view(known.shape).double().where(known, 0.0).sum(1)
        statistics = _linearise(tensors["test.logits"][kept], labels[kept]) if _are_samples(tensors) else {}
        examples, wrong_of_each, nll_of_each = (part[kept].numpy() for part in (known.sum(1), wrong, nll))
        return cls(ids[kept], labels[kept], examples, wrong_of_each, nll_of_each, statistics)

    @classmethod
    def _of_numbers(cls, tensors: Mapping[str, torch.Tensor]) -> MethodPredictions:
        numbers, own, teacher = tensors["test.numbers"], tensors["test.logits"][:, 0], tensors.get(NUMBERS_OF_TEACHER)
        known = ~numbers.isnan()
        found = linearise_numbers(own[known], numbers[known])
        with_teacher = {} if teacher is None else compare_with_teacher(own, teacher, numbers)
        examples = np.ones(int(known.sum()), np.int64)
        return cls(tensors["test.ids"][known], numbers[known], examples, None, None, found, with_teacher)


def _are_samples(tensors: Mapping[str, torch.Tensor]) -> bool:
    # positions of one sample are not independent
    return "test.logits" in tensors and tensors["test.labels"].dim() == 1


def _linearise(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, Linearised]:
    found = {}
    for name, metric in known_metrics().items() if len(labels) > 1 else ():  # one sample has no interval
        linearise = metric.interval and metric.interval.linearise
        if linearise and (statistic := linearise(logits, labels)) is not None:
            found[name] = statistic
    return found


@dataclass(frozen=True, eq=False)
class Method:
    """Complete runs that differ only in their seed.

    Args:
        name: path that the user gave.
        runs: runs by seed, in order.
        test: fingerprint of the test data.
        predictions: predictions by seed.
    """

    name: str
    runs: Mapping[int, Run]
    test: str
    predictions: Mapping[int, MethodPredictions]

    @property
    def examples(self) -> Counts:
        """Number of labelled examples per sample, the same for all runs."""
        return next(iter(self.predictions.values())).examples

    @property
    def predicts_numbers(self) -> bool:
        """Whether labels are numbers, and no classes."""
        return next(iter(self.predictions.values())).wrong is None

    def against_teacher(self) -> dict[str, tuple[list[Linearised], list[Linearised]]]:
        """Return statistics of the teachers and of the runs by name; none where a run has not stored its teacher's."""
        runs = [run.with_teacher for run in self.predictions.values()]
        names = [name for name in runs[0] if all(name in run for run in runs)]
        return {name: ([run[name][0] for run in runs], [run[name][1] for run in runs]) for name in names}


def read_methods(given: Sequence[str | Path | Run]) -> list[Method]:
    """Read methods; each is a run folder, or a folder that holds runs at any depth.

    Raises:
        RunError: if there are no runs, or some are incomplete or damaged; names them.
        ConfigError: if runs of a method differ in more than their seed, or share it; names the settings.
        MismatchError: if test data differ; names both fingerprints.
    """
    folders = [each.path if isinstance(each, Run) else given_path(each, "a method") for each in given]
    found = [_Found(folder, _rows(folder)) for folder in folders]
    # a run in two methods would be compared with itself
    owners: dict[Path, Path] = {}
    for each in found:
        for row in each.rows:
            if row.folder in owners:
                raise ConfigError(f"'{each.shown(row)}' is in both '{owners[row.folder]}' and '{each.folder}'.")
            owners[row.folder] = each.folder
    tests = [(each.shown(row), _test_fingerprint(each, row)) for each in found for row in each.rows]
    for name, test in tests:
        if test != tests[0][1]:
            raise MismatchError(
                f"'{name}' was tested on other data than '{tests[0][0]}' (fingerprints {test} and {tests[0][1]}), so "
                "they cannot be compared."
            )
    by_seed = [each.by_seed() for each in found]  # refuses before any predictions are read, which takes longer
    methods = [
        Method(str(each.folder), runs, tests[0][1], {seed: MethodPredictions.of(run) for seed, run in runs.items()})
        for each, runs in zip(found, by_seed, strict=True)
    ]
    read = [
        (method.runs[seed].path, predictions) for method in methods for seed, predictions in method.predictions.items()
    ]
    first, theirs = read[0]
    # tests pair predictions by their place, so the samples must have the same order too
    for path, predictions in read:
        if not (torch.equal(predictions.ids, theirs.ids) and _are_equal(predictions.labels, theirs.labels)):
            raise MismatchError(
                f"'{path}' was tested on other samples than '{first}' (their ids or labels differ), so they cannot be "
                "compared."
            )
    return methods


def _are_equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)  # classes, or numbers


@dataclass(frozen=True)
class _Found:
    folder: Path
    rows: Sequence[RunRow]

    def shown(self, row: RunRow) -> str:
        """Return the path of a run as the user would type it."""
        return str(self.folder if row.folder == self.folder.resolve() else self.folder / row.name)

    def by_seed(self) -> dict[int, Run]:
        """Return the runs by seed; refuse runs that differ in anything else."""
        first, *others = self.rows
        for row in others:  # equality is transitive, so the first stands for all
            was, now = (_described(each) for each in (first, row))
            differing = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
            if differing:
                raise ConfigError(
                    f"runs of one method may differ only in their seed, but '{self.shown(first)}' and "
                    f"'{self.shown(row)}' differ in {', '.join(differing)}."
                )
        runs: dict[int, Run] = {}
        for row in self.rows:
            run, seed = Run(self.shown(row)), _seed(Run(row.folder))  # errors quote the path as it was typed
            if seed in runs:
                raise ConfigError(
                    f"'{runs[seed].path}' and '{run.path}' have the same seed, {seed}; a method has one run per seed."
                )
            runs[seed] = run
        return dict(sorted(runs.items()))


def _rows(folder: Path) -> list[RunRow]:
    rows = collect(folder)
    # a run folder may hold others, such as those of its students or phases, which are no part of the method
    rows = [row for row in rows if row.folder == folder.resolve()] or [
        row for row in rows if not is_earlier_phase(row.folder)
    ]
    if not rows:
        raise RunError(f"'{folder}' holds no run folders.")
    found = _Found(folder, rows)
    unfit = [f"'{found.shown(row)}' is {row.state}" for row in rows if row.state != "complete"]
    if unfit:
        raise RunError(f"only complete runs can be compared, but {', '.join(unfit)}.")
    return rows


def _test_fingerprint(found: _Found, row: RunRow) -> str:
    data = row.fingerprints.get("data")
    if not isinstance(data, Mapping) or "test" not in data:
        raise RunError(f"'{found.shown(row)}' is damaged: it has no fingerprint of its test data.")
    return str(data["test"])


def _described(row: RunRow) -> dict[str, Any]:
    """Return the flat settings of a run and its teachers without the seed, and the fingerprint of the training data."""
    return _settings(Run(row.folder)) | {"the training data": (row.fingerprints.get("data") or {}).get("train")}


def _settings(run: Run, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    config = flatten(default_settings()) | flatten(run.config)  # an older folder lacks newer settings
    config.pop("seed")  # of a teacher too: each seed of a method may have a teacher of its own seed
    above = (*above, run.path.resolve())
    for name in _RUN_SETTINGS:
        if name == "start" and start_folder(config) is None:
            continue  # no start, or the layers of the teacher, which is no folder
        given = config.pop(name, None)
        names = given if isinstance(given, list) else [given] if given else []
        places = run.members() if name == "teachers" else map(Path, names)
        for number, (text, place) in enumerate(zip(names, places, strict=True)):
            # a folder that names itself as its teacher, which only an edited one does, would never end
            if (place / "config.json").is_file() and place.resolve() not in above:
                config |= {f"{name}.{number}.{key}": value for key, value in _settings(Run(place), above).items()}
            else:  # a store, or a teacher given as a Python object
                config[f"{name}.{number}"] = text
    return config


def _seed(run: Run) -> int:
    """Return the seed of a run; a combination has the seed of its first member."""
    # a combination is not trained, so its own seed is always the default
    if run.config["model"]["name"] in (ENSEMBLE, SPECIALISTS) and (run.members()[0] / "config.json").is_file():
        return _seed(Run(run.members()[0]))
    return int(run.config["seed"])
