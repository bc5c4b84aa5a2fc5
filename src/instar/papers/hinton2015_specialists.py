"""Hinton, Vinyals and Dean 2015, section 5: a generalist, its specialists, and one student of them all.

The paper has one data set, JFT: 100 million images of 15,000 classes, and 61 specialists of 300 classes each. Instar
has CIFAR-100 and 242 characters of Omniglot, so compare the directions of the effects, not their sizes. The table has
accuracy within the specialists' classes, accuracy, and the relative gain by the number of specialists that know the
right class.

Choices where the paper leaves room:

1. A specialist predicts a sample if it has the likeliest class of the generalist (n = 1, as in the paper).
2. Clusters come from the covariance of predictions on validation samples, which the generalist has not memorised, by
   the angles between its columns without the variances. All clusters have one size, so they overlap.
3. Arms that the paper did not run: two ways against over-fitting; random clusters and the true groups (superclasses,
   alphabets); an ensemble of generalists that sees at least as many samples as the specialists may; and students of
   all of them, with the generalist's network and budget.
4. Accuracy within a specialist's classes compares these classes alone, averaged over all specialists.
5. Seeds are paired: all arms of a seed share one generalist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from instar.analysis.significance import mean_interval
from instar.data.dataset import load_data
from instar.errors import ConfigError
from instar.papers.claims import compare_arms, judge_claim, to_errors
from instar.papers.specialist_plan import (
    DIGITS_PROBLEM,
    JFT_NOTE,
    PUBLISHED_ACCURACIES,
    PUBLISHED_RELATIVE_GAINS,
    Problem,
    SpecialistPlan,
)
from instar.papers.table import FAST_TRAINING, Order, Table, TableRow
from instar.procedures.specialists.clusters import CLUSTERS_FILE
from instar.procedures.specialists.evaluating import Coverage, evaluate
from instar.runs.run import Run

TITLE = "Hinton, Vinyals and Dean 2015, section 5: specialists"
DATA = "uoft-cs/cifar100"


ARM_TITLES = {
    "dustbin": "confusable classes, dustbin",
    "full": "confusable classes, full softmax",
    "random": "random classes, dustbin",
    "true": "true groups, dustbin",
}


@dataclass(frozen=True)
class SpecialistsScale:
    """Amount of work for a table.

    Args:
        seeds: number of generalists, each with its specialists and students.
        problems: data sets.
    """

    seeds: int
    problems: tuple[Problem, ...]


SMALL_CNN = {"name": "cnn", "arguments": {"channels": [32, 64, 128], "hidden": 256}}
_GENERALIST_TRAINING = FAST_TRAINING | {
    "optimiser": "adamw",
    "learning_rate": 2e-3,
    "weight_decay": 0.01,
    "batch_size": 64,
    "log_every": 200,
}
SPECIALIST_TRAINING = {"learning_rate": 1e-3, "patience": 3, "evaluate_every": 1}


def _cifar(epochs: int, expert: int, model: Mapping[str, Any] = SMALL_CNN, **data: Any) -> Problem:
    shared = {"label_column": "fine_label", "validation": 0.1}
    training = _GENERALIST_TRAINING | {"epochs": epochs, "evaluate_every": epochs}
    views = "Crop(2) + Flip()" if "image_size" in data else "Crop(4) + Flip()"
    limits = SPECIALIST_TRAINING | {"epochs": expert}
    return Problem("CIFAR-100", shared | data, model, views, 20, 10, training, limits, "coarse_label")


def _omniglot(epochs: int, expert: int, **data: Any) -> Problem:
    shared = {"validation": 0.2, "image_size": (28, 28)}
    training = _GENERALIST_TRAINING | {"epochs": epochs, "evaluate_every": epochs}
    # a specialist has few steps here to learn its dustbin in, so a higher rate was best on validation
    limits = SPECIALIST_TRAINING | {"epochs": expert, "learning_rate": 3e-3}
    return Problem("Omniglot", shared | data, SMALL_CNN, "Shift(2)", 12, 40, training, limits)


WIDE_RESNET = {"name": "wide-resnet", "arguments": {"depth": 16, "width": 4}}

SCALES = {
    "smoke": SpecialistsScale(2, (_cifar(1, 1, subset=1000, image_size=(8, 8)), _omniglot(2, 1), DIGITS_PROBLEM)),
    "small": SpecialistsScale(3, (_cifar(15, 7, image_size=(16, 16)), _omniglot(60, 15))),
    "gpu": SpecialistsScale(3, (_cifar(100, 50, WIDE_RESNET), _omniglot(300, 75))),
    "paper": SpecialistsScale(10, (_cifar(100, 50, WIDE_RESNET), _omniglot(300, 75))),
}


def run(order: Order) -> Table:
    """Train the missing runs, and return the tables."""
    size = SCALES[order.scale]
    plans: list[SpecialistPlan] = []
    for problem, source in _problems(size, order.data):
        data = load_data(source, **problem.data)
        seeds = order.seed_numbers(size.seeds)
        plans += [SpecialistPlan(problem, source, order.out / problem.folder / str(seed), seed, data) for seed in seeds]
    order.train(stage for plan in plans for stage in plan.generalists())
    # clusters are found once, and written before any specialist trains
    for plan in plans:
        for arm in plan.arms():
            experts = plan.experts(arm)
            experts.out.mkdir(parents=True, exist_ok=True)
            experts.clusters.write(experts.out / CLUSTERS_FILE)
    order.train(stage for plan in plans for arm in plan.arms() for stage in plan.experts(arm).stages())
    for plan in plans:
        for combined in (*map(plan.combine, plan.arms()), plan.combine_generalists()):
            order.report(str(combined.path.relative_to(order.out)))
    order.train(stage for plan in plans for stage in plan.students())
    by_problem: dict[str, list[SpecialistPlan]] = {}
    for plan in plans:
        by_problem.setdefault(plan.problem.name, []).append(plan)
    rows = [row for same in by_problem.values() for row in _rows(same)]
    return Table(TITLE, tuple(rows), "\n\n".join(_findings(same) for same in by_problem.values()))


def _problems(size: SpecialistsScale, data: str) -> list[tuple[Problem, str]]:
    """Return the data sets in `data`, which is one of them or a folder that holds some."""
    # a name that is no folder, such as "digits", is taken by its last part
    inside = [(problem, f"{data}/{problem.folder}") for problem in size.problems]
    found = [(problem, folder) for problem, folder in inside if Path(folder).is_dir()]
    found = found or [(problem, data) for problem in size.problems if problem.folder == Path(data).name]
    if not found:
        names = ", ".join(problem.folder for problem in size.problems)
        raise ConfigError(
            f"'{data}' is neither a data set of this table nor a folder that holds some; expected one of {names}."
        )
    return found


def _rows(plans: Sequence[SpecialistPlan]) -> list[TableRow]:
    """Return both tables of a data set, with the controls and the students; one value per seed."""
    name, accuracy = plans[0].problem.name, partial(_accuracies, plans)
    generalist, published_accuracy = accuracy("generalist-0"), PUBLISHED_ACCURACIES["overall"][0]
    rows = [TableRow(f"{name}: generalist", "accuracy", "%", published_accuracy, generalist, {}, JFT_NOTE)]
    for arm in plans[0].arms():
        found = [evaluate(plan.out / f"{arm}-combined") for plan in plans]
        # the arm of the paper; the others are controls
        published = PUBLISHED_ACCURACIES if arm == "dustbin" else {}
        rows += _arm_rows(f"{name}: {ARM_TITLES[arm]}", found, published)
    controls = {
        f"ensemble of {1 + plans[0].equal_cost} generalists, of no lower cost": "generalists",
        "student of generalist and specialists": "student-of-specialists",
        "student of the generalist": "student-of-generalist",
        "student of the ensemble of generalists": "student-of-generalists",
    }
    for words, folder in controls.items():
        control, title = accuracy(folder), f"{name}: {words}, over the generalist"
        rows.append(TableRow(f"{name}: {words}", "accuracy", "%", None, control))
        rows.append(compare_arms(title, to_errors(control), to_errors(generalist), None))
    costs, title = [_cost(plan) for plan in plans], f"{name}: all specialists (dustbin) over the generalist"
    return [*rows, TableRow(title, "samples seen", "ratio", None, costs)]


def _arm_rows(name: str, found: Sequence[Coverage], published: Mapping[str, tuple[float, float]]) -> list[TableRow]:
    rows = []
    for key, words in (("within", "accuracy within their classes"), ("overall", "accuracy")):
        pairs = [one.conditional if key == "within" else one.overall for one in found]
        before, after = ([100 * pair[at] for pair in pairs] for at in (0, 1))
        theirs = published.get(key, (None, None))
        note = JFT_NOTE if published else ""
        if key == "within":  # overall it is the row of the generalist above
            rows.append(TableRow(f"{name}: generalist", words, "%", theirs[0], before, {}, note))
        rows.append(TableRow(f"{name}: with specialists", words, "%", theirs[1], after, {}, note))
        gain = None if theirs[0] is None or theirs[1] is None else round(theirs[1] - theirs[0], 1)
        rows.append(compare_arms(f"{name}: gain in {words}", to_errors(after), to_errors(before), gain))
    # the second table of the paper: relative gain by the number of specialists that know the class of a sample
    most = max(row.specialists for one in found for row in one.covered)
    for number in range(most + 1):
        known = [row for one in found for row in one.covered if row.specialists == number]
        # undefined for a seed whose generalist is never right there
        relative = [100 * row.relative_gain for row in known if row.relative_gain is not None]
        settings = {"samples": [row.samples for row in known], "gain": [row.gain for row in known]}
        gain = PUBLISHED_RELATIVE_GAINS[min(number, 10)] if published else None  # its last row is "10 or more"
        note = f"{sum(row.gain for row in known):+} of {sum(row.samples for row in known):,} predictions"
        title = f"{name}: {number} know the class"
        rows.append(TableRow(title, "relative gain", "%", gain, relative, settings, note))
    return rows


def _findings(plans: Sequence[SpecialistPlan]) -> str:
    if len(plans) < 2:
        return ""
    name = plans[0].problem.name

    def errors(folder: str) -> list[float]:
        return to_errors(_accuracies(plans, folder))

    arms = plans[0].arms()
    claims = [("specialists (dustbin) better than the generalist", "dustbin-combined", "generalist-0")]
    claims += [(f"dustbin better than {ARM_TITLES[arm]}", "dustbin-combined", f"{arm}-combined") for arm in arms[1:]]
    claims += [
        ("specialists (dustbin) better than the ensemble of generalists", "dustbin-combined", "generalists"),
        ("student of the specialists better than the generalist", "student-of-specialists", "generalist-0"),
        ("... than the student of the generalist", "student-of-specialists", "student-of-generalist"),
        ("... than the student of the ensemble", "student-of-specialists", "student-of-generalists"),
    ]
    sentences = [judge_claim(claim, errors(better), errors(worse)) for claim, better, worse in claims]
    slopes = [evaluate(plan.out / "dustbin-combined").slope for plan in plans]
    middle, low, high = mean_interval(slopes)
    grows = "grows" if low > 0 else "falls" if high < 0 else "neither grows nor falls for certain"
    sentences.append(
        f"With each further specialist that knows the class, the relative gain {grows}: {middle:+.2f} percentage "
        f"points (95%: {low:+.2f} to {high:+.2f}). In the paper it grows from 0 to 14.1% at ten or more."
    )
    return f"{name}, over {len(plans)} paired seeds: {' '.join(sentences)}"


def _accuracies(plans: Sequence[SpecialistPlan], folder: str) -> list[float]:
    return [100 * (1 - float(Run(plan.out / folder).metrics["error"])) for plan in plans]


def _cost(plan: SpecialistPlan) -> float:
    # steps stand for samples, because all runs have one batch size; specialists that stopped early saw fewer
    steps = [Run(folder).result["steps"] for folder in plan.experts("dustbin").folders()]
    return float(sum(steps) / Run(plan.generalist).result["steps"])
