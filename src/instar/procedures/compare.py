"""`instar compare`: whether one method is better than another, with intervals and tests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from instar.analysis.comparison import (
    Difference,
    correct,
    error_over_samples,
    nll_over_samples,
    over_seeds,
    seeds_needed,
    statistic_over_samples,
)
from instar.analysis.linearised import Linearised
from instar.analysis.resampling import RESAMPLES, Counts
from instar.checks import checked
from instar.errors import ConfigError
from instar.inspection.conclusions import (
    TABLE_HEADING,
    Comparison,
    Quantity,
    compare_runs,
    say_kept,
    seeds_in_words,
)
from instar.inspection.methods import Method, read_methods
from instar.runs.run import Run
from instar.tasks.catalogue import known_metrics
from instar.tasks.regression import R2, RMSE

TEXT_WIDTH = 100
"""Characters per line."""


@dataclass(frozen=True)
class Compared:
    """Comparisons of methods with a reference, the first of them.

    Args:
        methods: names of all methods, the reference first.
        seeds: seeds of the runs of each method.
        test: fingerprint of the test data.
        samples: number of labelled test samples.
        examples: number of labelled positions; that of the samples if these have no positions.
        resamples: resamples of the bootstrap.
        comparisons: one comparison for each method but the reference.
        teachers: by the name of a method that predicts numbers, its metrics as the method and those of its teacher as
            the reference, with "rmse_to_teacher" and "r2_kept", the share of its teacher's R²; none where a run has not
            stored its teacher's predictions.
    """

    methods: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    test: str
    samples: int
    examples: int
    resamples: int
    comparisons: tuple[Comparison, ...]
    teachers: Mapping[str, Mapping[str, Quantity]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON, with the conclusions in words."""
        found = asdict(self)
        for comparison, values in zip(self.comparisons, found["comparisons"], strict=True):
            # by their names: the letters of the table mean nothing without it
            values["conclusions"] = comparison.conclusions(comparison.name, self.methods[0], self.samples)
        return found

    def __str__(self) -> str:
        # paths are too long for the columns of a table
        letters = [_name_method(number) for number in range(len(self.methods))]
        lines = [
            _wrap(f"{letter}  {name}: {seeds_in_words(seeds)}{', the reference' if letter == 'A' else ''}")
            for letter, name, seeds in zip(letters, self.methods, self.seeds, strict=True)
        ]
        conclusions = [""]
        lines += ["", TABLE_HEADING]
        for letter, comparison in zip(letters[1:], self.comparisons, strict=True):
            lines += comparison.rows(letter)
            conclusions += map(_wrap, comparison.conclusions(letter, "A", self.samples))
        for letter, name in zip(letters, self.methods, strict=True):
            if R2.name in (found := self.teachers.get(name, {})):
                conclusions.append(_wrap(say_kept(letter, found)))
        return "\n".join([*lines, *conclusions, "", _wrap(self._describe_statistics())])

    def _describe_statistics(self) -> str:
        # what is fixed and what is drawn differs between the two kinds of interval, and the reader has to know both
        several = any(comparison.runs != (1, 1) for comparison in self.comparisons)
        if self.comparisons[0].error is None:
            sentences = [
                "Over samples: paired intervals of the delta method, which linearises metrics in the weights of the "
                "samples, and a test of the RMSE from the same linearisation."
            ]
        else:
            sentences = [self._describe_bootstrap()]
            if any(comparison.others for comparison in self.comparisons):
                sentences.append(
                    "Metrics of all samples together have paired intervals of the delta method, and no test."
                )
        if several:
            sentences.append("Several runs are averaged and their weights count as fixed: this ignores other seeds.")
        tested = sum(comparison.main.over_seeds is not None for comparison in self.comparisons)
        if tested:
            sentences.append("Over seeds: Student's intervals and paired t test; the test samples count as fixed.")
        if (number := len(self.comparisons)) == 1:
            return " ".join([*sentences, "There is one comparison, so no p-value needs a correction."])
        over = f" and {tested} over seeds" if tested else ""
        sentences.append(f"p-values are corrected for the number of comparisons, {number} over samples{over} (Holm);")
        return " ".join([*sentences, "intervals are not corrected."])

    def _describe_bootstrap(self) -> str:
        positions = f" with {self.examples:,} positions" if self.examples > self.samples else ""
        return (
            f"Over samples: percentile intervals of a paired bootstrap, {self.resamples:,} resamples of whole samples"
            f"{positions}; McNemar's test, exact if each method has one prediction per sample, else by random signs."
        )


@checked
def compare(*methods: str | Path | Run, resamples: int = RESAMPLES, seed: int = 0) -> Compared:
    """Compare methods with the first one, the reference, on the same test samples.

    A method is a run, or a folder with runs that differ only in their seed. Runs are paired by seed, and a comparison
    leaves out seeds that only one of its methods has. A combination of runs has the seed of its first member.

    Args:
        methods: two or more run folders, or folders of them, the reference first.
        resamples: resamples of the bootstrap over samples.
        seed: seed of the bootstrap.

    Raises:
        MismatchError: if runs were tested on different data.
        InstarError: in one sentence, for everything else that the caller can mend.

    >>> import tempfile
    >>> from instar.models import MLP
    >>> from instar.procedures.train import train
    >>> folder = tempfile.mkdtemp()
    >>> runs = [train("digits", MLP([width]), epochs=4, out=f"{folder}/{width}") for width in (2, 32)]
    >>> compare(*runs).comparisons[0].error.over_samples.high < 0
    True
    """
    if len(methods) < 2:
        raise ConfigError(f"compare needs at least two methods, got {len(methods)}.")
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}.")
    reference, *others = read_methods(methods)
    pairings = [_Pairing.of(reference, other) for other in others]
    examples = reference.examples
    error: Sequence[Quantity | None] = [None] * len(pairings)
    nll, others_of = error, _compare_statistics(pairings)
    if reference.predicts_numbers:
        of_pairs = _compare_rmse(pairings, others_of)
    else:
        # per example and in percent, like the table; over samples, because positions of one sample are not independent
        def errors(ours: Counts, theirs: Counts) -> Difference:
            return error_over_samples(ours, theirs, examples, resamples=resamples, seed=seed).times(100)

        of_pairs = [[errors(*both) for both in pairing.pairs("wrong")] for pairing in pairings]
        over_samples = correct([errors(*pairing.of_both("wrong")) for pairing in pairings])
        error = _summarise(pairings, "wrong", over_samples, 100 / examples.sum())
        nll = _compare_nll(pairings, examples, resamples, seed)
    # pairs of single runs are corrected together, and the comparisons over all runs together
    corrected = iter(correct([found for pairs in of_pairs for found in pairs]))
    comparisons = [
        Comparison(
            pairing.method.name,
            pairing.runs,
            pairing.seeds,
            pairing.left_out,
            of_error,
            of_nll,
            {number: next(corrected) for number in pairing.seeds} if pairs else {},
            of_others,
        )
        for pairing, of_error, of_nll, pairs, of_others in zip(pairings, error, nll, of_pairs, others_of, strict=True)
    ]
    return Compared(
        tuple(method.name for method in (reference, *others)),
        tuple(tuple(method.runs) for method in (reference, *others)),
        reference.test,
        len(examples),
        int(examples.sum()),
        resamples,
        tuple(comparisons),
        {method.name: found for method in (reference, *others) if (found := _compare_with_teacher(method))},
    )


@dataclass(frozen=True, eq=False)
class _Pairing:
    """A method, the reference, and the seeds that both have."""

    reference: Method
    method: Method
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, reference: Method, method: Method) -> _Pairing:
        return cls(reference, method, tuple(sorted(reference.runs.keys() & method.runs.keys())))

    @property
    def runs(self) -> tuple[int, int]:
        return len(self.seeds or self.reference.runs), len(self.seeds or self.method.runs)

    @property
    def left_out(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if not self.seeds:  # methods without a common seed are compared by their means over all seeds
            return (), ()
        mine, theirs = (tuple(sorted(set(of.runs) - set(self.seeds))) for of in (self.reference, self.method))
        return mine, theirs

    def of_both(self, name: str) -> tuple[Any, Any]:
        # [runs, samples] each; without a common seed the numbers of runs may differ
        mine, theirs = (
            np.stack([getattr(of.predictions[seed], name) for seed in self.seeds or of.runs])
            for of in (self.reference, self.method)
        )
        return mine, theirs

    def of_statistic(self, name: str) -> list[list[Linearised]] | None:
        # without a common seed the numbers of runs may differ; None: not all runs have the metric
        found = [
            [of.predictions[seed].statistics.get(name) for seed in self.seeds or of.runs]
            for of in (self.reference, self.method)
        ]
        known = [[run for run in runs if run is not None] for runs in found]
        return known if list(map(len, known)) == list(map(len, found)) else None

    def pairs(self, name: str) -> list[tuple[Any, Any]]:
        # a single pair is the whole comparison, so it is not listed twice; [1, samples] each
        mine, theirs = self.of_both(name)
        return [(mine[[place]], theirs[[place]]) for place in range(len(self.seeds))] if len(self.seeds) > 1 else []


def _summarise(
    pairings: Sequence[_Pairing], name: str, over_samples: Sequence[Difference], scale: float
) -> list[Quantity]:
    # sums over samples, [runs]: with the same samples for all, `scale` makes means of them
    sums = [[each.sum(1) for each in pairing.of_both(name)] for pairing in pairings]
    paired = [len(pairing.seeds) > 1 for pairing in pairings]
    # corrected apart from the tests over samples: they answer another question, about new runs
    over = correct([over_seeds(*both).times(scale) for both, several in zip(sums, paired, strict=True) if several])
    corrected = iter(over)
    return [
        Quantity(
            float(scale * mine.mean()),
            float(scale * theirs.mean()),
            found,
            next(corrected) if several else None,
            seeds_needed(theirs - mine) if several else None,
        )
        for (mine, theirs), found, several in zip(sums, over_samples, paired, strict=True)
    ]


def _compare_nll(pairings: Sequence[_Pairing], examples: Counts, resamples: int, seed: int) -> list[Quantity | None]:
    # an infinite NLL has no mean, so such methods are compared by their errors only
    finite = [pairing for pairing in pairings if all(np.isfinite(each).all() for each in pairing.of_both("nll"))]
    if not finite:
        return [None] * len(pairings)
    # averaged over runs, [samples]; one call for all methods, so that all intervals come from the same resamples
    changes = [theirs.mean(0) - mine.mean(0) for mine, theirs in (pairing.of_both("nll") for pairing in finite)]
    over_samples = nll_over_samples(np.stack(changes, 1), examples, resamples=resamples, seed=seed)
    found = iter(_summarise(finite, "nll", over_samples, 1 / examples.sum()))
    return [next(found) if pairing in finite else None for pairing in pairings]


def _compare_statistics(pairings: Sequence[_Pairing]) -> list[dict[str, Quantity]]:
    found: list[dict[str, Quantity]] = [{} for _ in pairings]
    for name, metric in known_metrics().items():
        scale = 100 if metric.unit == "share" else 1
        # of a pairing whose runs have the metric: its value and influences in each run, reference first
        runs = {place: of_both for place, pairing in enumerate(pairings) if (of_both := pairing.of_statistic(name))}
        values = {place: [[run.value for run in each] for each in of_both] for place, of_both in runs.items()}
        paired = [place for place in runs if len(pairings[place].seeds) > 1]
        over = dict(zip(paired, correct([over_seeds(*values[place]).times(scale) for place in paired]), strict=True))
        for place, (mine, theirs) in values.items():
            found[place][name] = Quantity(
                scale * fmean(mine),
                scale * fmean(theirs),
                statistic_over_samples(*runs[place]).times(scale),
                over.get(place),
                seeds_needed([b - a for a, b in zip(mine, theirs, strict=True)]) if place in over else None,
            )
    return found


def _compare_rmse(pairings: Sequence[_Pairing], others: Sequence[dict[str, Quantity]]) -> list[list[Difference]]:
    """Add a test over samples to the RMSE of each pairing; return the differences of its pairs of runs."""
    of_both = [pairing.of_statistic(RMSE.name) or [] for pairing in pairings]
    tested = correct([statistic_over_samples(*both, is_tested=True) for both in of_both])
    for found, over_samples in zip(others, tested, strict=True):
        found[RMSE.name] = replace(found[RMSE.name], over_samples=over_samples)
    return [
        [statistic_over_samples([a], [b], is_tested=True) for a, b in zip(*both, strict=True)]
        if len(pairing.seeds) > 1
        else []
        for pairing, both in zip(pairings, of_both, strict=True)
    ]


def _compare_with_teacher(method: Method) -> dict[str, Quantity]:
    return {
        name: compare_runs(theirs, own, is_tested=name == RMSE.name)
        for name, (theirs, own) in method.against_teacher().items()
    }


def _wrap(text: str) -> str:
    # a path that is broken could not be copied from the terminal
    return textwrap.fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)


def _name_method(number: int) -> str:
    """Name methods A to Z, then A1 to Z1.

    >>> _name_method(0), _name_method(27)
    ('A', 'B1')
    """
    return f"{chr(ord('A') + number % 26)}{number // 26 or ''}"
