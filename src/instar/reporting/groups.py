"""Groups of runs that differ only in their seed, and comparisons of students with and without a teacher."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instar.analysis.significance import paired_interval
from instar.nested import flatten
from instar.runs.phases import is_earlier_phase, start_folder
from instar.runs.rows import RunRow
from instar.tasks.metrics import ERRORS

# these settings change what a run records or how fast it is, and not what the student learns
BOOKKEEPING_SETTINGS = {
    "training.log_every",
    "training.checkpoint_seconds",
    "training.evaluate_every",
    "targets",
    "store.folder",
}
PARENT_SETTINGS = ("teachers", "corrected", "start")
"""Settings that name the runs that a run was made from."""
MODELS_WITHOUT_GRADIENTS = {"tree", "forest", "boosting", "estimator", "nearest"}
"""Models on which no setting of the training has an effect."""
COMPARED_SETTINGS = {"seed", "objective", "teachers", "combine", "training.teacher_precision"} | BOOKKEEPING_SETTINGS


@dataclass(frozen=True)
class Group:
    """Complete runs that differ only in their seed.

    Args:
        name: the part that the names of the runs share, with * for the rest.
        rows: the runs.
    """

    name: str
    rows: tuple[RunRow, ...]

    @property
    def is_earlier_phase(self) -> bool:
        """Whether the runs are earlier phases of others, so that their models are no students of interest."""
        return is_earlier_phase(self.rows[0].folder)

    def by_seed(self, quantity: str) -> dict[int, float]:
        """Return the measured values of a quantity, one per seed: the mean over the runs with that seed."""
        found: dict[int, list[float]] = defaultdict(list)
        for row in self.rows:
            if quantity in row.numbers:
                found[row.seed].append(row.numbers[quantity])
        return {seed: statistics.fmean(values) for seed, values in sorted(found.items())}


@dataclass(frozen=True)
class GroupComparison:
    """Comparison of a distilled student with the same student trained on labels, paired by seed.

    Args:
        distilled: runs with a teacher.
        labels: runs without a teacher.
        seeds: seeds that both groups have.
        fewer: mean difference in test errors, above 0 if the distilled student makes fewer.
        low: lower end of the 95% interval; -inf for a single seed.
        high: upper end of the 95% interval; inf for a single seed.
        differing: other settings that differ.
    """

    distilled: Group
    labels: Group
    seeds: tuple[int, ...]
    fewer: float
    low: float
    high: float
    differing: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The difference and its uncertainty in words."""
        seeds = f"With seed {self.seeds[0]}" if len(self.seeds) == 1 else f"Over {len(self.seeds)} shared seeds"
        objective = self.labels.rows[0].objective
        labels = "labels" if objective == "HardLabels()" else f"labels with {objective}"
        amount = f"{self.distilled.name} makes {self._errors()} {self.labels.name}"
        if len(self.seeds) == 1:
            sure = "one seed says nothing about other trainings"
        elif self.low == self.high:
            sure = "every seed shows the same difference, so there is no interval"
        elif self.low > 0 or self.high < 0:  # both ends point the same way, so one word does for both
            ends = sorted((abs(self.low), abs(self.high)))
            sure = f"95% interval {ends[0]:,.1f} to {ends[1]:,.1f} {_word(self.fewer)}, paired by seed"
        else:
            sure = f"95% interval from {_amount(self.low)} to {_amount(self.high)}, paired by seed; "
            sure += "these seeds do not settle which is better"
        also = f" The two also differ in {', '.join(self.differing)}." if self.differing else ""
        return f"{seeds}, {amount}, the same student trained on {labels} ({sure}).{also}"

    def _errors(self) -> str:
        errors = ERRORS.title.lower()
        if self.fewer == 0:
            return f"as many {errors} as"
        if len(self.seeds) > 1 or self.fewer % 1:  # a mean, also over several runs of one seed
            return f"{_amount(self.fewer)} {errors} than"
        number = f"{abs(self.fewer):,.0f} {_word(self.fewer)}"
        return f"{number} {errors.removesuffix('s') if abs(self.fewer) == 1 else errors} than"


def make_groups(rows: Sequence[RunRow]) -> list[Group]:
    """Return groups of complete runs that differ only in their seed, in the order of their first runs.

    The seeds of teachers among `rows` may differ too.
    """
    found: dict[str, list[RunRow]] = defaultdict(list)
    known = identities(rows)
    for row in rows:
        if row.state == "complete":
            found[known[row.name]].append(row)
    return [Group(shared_name([row.name for row in members]), tuple(members)) for members in found.values()]


def compare_groups(groups: Sequence[Group]) -> list[GroupComparison]:
    """Pair each distilled student with the same student trained on labels, if they share a seed.

    Pairs that differ in the fewest other settings come first.
    """
    comparisons = []
    for distilled in (group for group in groups if group.rows[0].teachers and not group.is_earlier_phase):
        # the first run stands for its group, whose runs differ only in their seed
        first, ours = distilled.rows[0], distilled.by_seed(ERRORS.name)
        partners = [
            (setting_differences(first, group.rows[0]), group, group.by_seed(ERRORS.name))
            for group in groups
            if not group.rows[0].teachers and _same_student(first, group.rows[0])
        ]
        partners = [partner for partner in partners if ours.keys() & partner[2].keys()]
        # of several label-trained groups, a student with other settings would confuse the comparison
        nearest = min((len(differing) for differing, _, _ in partners), default=0)
        for differing, labels, theirs in partners:
            if len(differing) == nearest:
                shared = tuple(sorted(ours.keys() & theirs.keys()))
                both = [ours[seed] for seed in shared], [theirs[seed] for seed in shared]
                # one pair has no spread, so its interval is everything
                fewer, low, high = (
                    paired_interval(*both) if len(shared) > 1 else (both[1][0] - both[0][0], -math.inf, math.inf)
                )
                comparisons.append(GroupComparison(distilled, labels, shared, fewer, low, high, differing))
    return sorted(comparisons, key=lambda comparison: len(comparison.differing))


def setting_differences(first: RunRow, second: RunRow) -> tuple[str, ...]:
    """Return the settings in which two runs differ, without teacher, objective and seed."""
    mine, theirs = settings(first), settings(second)
    # a run without a teacher lacks the settings about it, which is no difference in training
    keys = mine.keys() | theirs.keys() if bool(first.teachers) == bool(second.teachers) else mine.keys() & theirs.keys()
    return tuple(key for key in sorted(keys) if key not in COMPARED_SETTINGS and mine.get(key) != theirs.get(key))


def settings(row: RunRow) -> dict[str, Any]:
    """Return the settings of a run by dotted name, without those that have no effect on it."""
    unused: tuple[str, ...] = () if row.teachers else ("store.",)
    if row.config["model"]["name"] in MODELS_WITHOUT_GRADIENTS:
        unused += ("training.",)
    return {key: value for key, value in flatten(row.config).items() if not key.startswith(unused)}


def identities(rows: Sequence[RunRow]) -> dict[str, str]:
    """Return a key for each readable run by name; runs with equal keys differ only in their seeds."""
    known: dict[str, str] = {}

    def identify(row: RunRow, above: tuple[str, ...] = ()) -> str:
        if row.name not in known:
            parents = [find_teacher(teacher, rows) for teacher in _parents(row.config)]
            # `above` ends cycles, which only edited folders have
            found = [parent for parent in parents if parent and parent.name not in above and parent.config]
            # teachers count by their own keys, and not by their paths, which contain seeds
            content: dict[str, Any] = {
                "config": {key: value for key, value in row.config.items() if key not in ("seed", *PARENT_SETTINGS)},
                # the path of a run has its seed, and the word for the layers of the teacher has none
                "start": "a run" if start_folder(row.config) else row.config.get("start"),
                "data": row.fingerprints.get("data"),
                "parameters": row.numbers.get("parameters"),
                # sorted, because an ensemble does not depend on the order of its members
                "parents": sorted(identify(parent, (*above, row.name)) for parent in found),
            }
            if len(found) < len(parents):  # only the fingerprint identifies a teacher outside this report
                content["given"] = [row.fingerprints.get(name) for name in ("teacher", "run", "start")]
            known[row.name] = json.dumps(content, sort_keys=True)
        return known[row.name]

    for row in rows:
        if row.config:
            identify(row)
    return known


def find_teacher(teacher: str, rows: Sequence[RunRow]) -> RunRow | None:
    """Return the run that a teacher's path names; a run that was moved is found by the end of its path."""
    path = Path(teacher)
    if os.path.exists(path):  # then the path decides, even if another run ends alike
        return next((row for row in rows if row.folder == path.resolve()), None)
    return next((row for row in rows if f"/{path.as_posix()}".endswith(f"/{row.name}")), None)


def shared_name(names: Sequence[str]) -> str:
    """Return the beginning and end that names share, with * for the rest.

    >>> shared_name(["small-10/student", "small-11/student"])
    'small-*/student'
    >>> shared_name(["alone"])
    'alone'
    >>> shared_name(["a", "b"])
    'a and 1 more'
    """
    if len(set(names)) == 1:
        return names[0]
    # without digits, so that seeds 10 and 11 become * and not 1*
    start = _common_start(names).rstrip("0123456789")
    rests = [name[len(start) :] for name in names]
    end = _common_start([rest[::-1] for rest in rests])[::-1].lstrip("0123456789")
    return f"{start}*{end}" if start or end else f"{names[0]} and {len(names) - 1} more"


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)  # in alphabetical order, so all names share what these two share
    length = next((place for place, letter in enumerate(first) if letter != last[place]), len(first))
    return first[:length]


def _parents(config: Mapping[str, Any]) -> tuple[str, ...]:
    return (*config["teachers"], *filter(None, (config.get("corrected"), start_folder(config))))


def _same_student(first: RunRow, second: RunRow) -> bool:
    # bias correction changes a model after training, so it would not compare what training did
    if "corrected" in first.config or "corrected" in second.config:
        return False
    # a network given as a Python object is only a class name in the configuration, so the sizes must agree too
    tests = [(row.fingerprints.get("data") or {}).get("test") for row in (first, second)]
    sizes = [row.numbers.get("parameters") for row in (first, second)]
    return first.config["model"] == second.config["model"] and tests[0] == tests[1] and sizes[0] == sizes[1]


def _word(fewer: float) -> str:
    return "fewer" if fewer >= 0 else "more"


def _amount(fewer: float) -> str:
    return f"{abs(fewer):,.1f} {_word(fewer)}"
