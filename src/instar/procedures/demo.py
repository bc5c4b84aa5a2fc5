"""`instar demo`: distils an ensemble into a small model that is nearly as good, in a minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from instar.analysis.significance import paired_interval
from instar.checks import Count, checked
from instar.config import RunConfig, validate
from instar.data.dataset import load_data
from instar.jobs.backends import parse_jobs
from instar.jobs.running import run_all
from instar.jobs.task import Job
from instar.paths import local_path
from instar.procedures.evaluate import evaluate
from instar.procedures.report import report_where_possible
from instar.runs.run import Run
from instar.stages.arguments import shared_target_settings
from instar.stages.stage import Stage
from instar.teachers.ensemble import Ensemble

# chosen on the validation split (docs/log.md, 2026-11-21); smaller students could not follow the ensemble
DEMO_TEACHER = {"name": "cnn", "arguments": {"channels": [32, 64], "hidden": 128, "dropout": 0.5}}
DEMO_STUDENT = {"name": "mlp", "arguments": {"widths": [128, 128]}}
DEMO_OBJECTIVE = "SoftTargets(3)"
DEMO_TRAINING: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 64, "evaluate_every": 5}


@dataclass(frozen=True)
class DemoSummary:
    """The result of the demo.

    Args:
        samples: number of test samples.
        ensemble_parameters: parameters of all members together.
        ensemble_errors: test errors of the ensemble.
        member_errors: test errors of each member.
        student_parameters: parameters of one student.
        hard_errors: test errors of the student trained on labels, one per seed.
        distilled_errors: test errors of the same student distilled from the ensemble, one per seed.
        gain: mean and 95% interval of the errors that distillation saves, paired by seed.
        report: HTML file.
        seconds: duration.
    """

    samples: int
    ensemble_parameters: int
    ensemble_errors: int
    member_errors: Sequence[int]
    student_parameters: int
    hard_errors: Sequence[int]
    distilled_errors: Sequence[int]
    gain: tuple[float, float, float]
    report: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return dict(vars(self))

    def __str__(self) -> str:
        rows = [
            # members are alike, so one of them has its share of the parameters
            ("one of the ensemble", self.ensemble_parameters // len(self.member_errors), self.member_errors),
            (f"ensemble of {len(self.member_errors)}", self.ensemble_parameters, [self.ensemble_errors]),
            ("student, labels", self.student_parameters, self.hard_errors),
            ("student, distilled", self.student_parameters, self.distilled_errors),
        ]
        lines = [f"{'':22}{'parameters':>12}{'test errors':>18}{'error':>9}"]
        for name, parameters, errors in rows:
            # the ensemble is one model, so its errors have no spread
            spread = f" ± {stdev(errors):.1f}" if len(errors) > 1 else ""
            lines.append(
                f"{name:22}{parameters:>12,}{mean(errors):>12.1f}{spread:6}{mean(errors) / self.samples:>9.2%}"
            )
        saved, low, high = self.gain
        lines.append(
            f"Distillation saves {saved:.1f} of {self.samples} errors over {len(self.hard_errors)} seeds "
            f"(95%: {low:.1f} to {high:.1f}), at {self.student_parameters / self.ensemble_parameters:.1%} of the size."
        )
        lines.append(f"Report: {self.report}  ({self.seconds:.0f} s)")
        return "\n".join(lines)


@checked
def demo(out: str | Path = "runs/demo", *, members: Count = 5, seeds: Count = 5, jobs: int | str = 2) -> DemoSummary:
    """Train an ensemble on scikit-learn's digits, distil it, train the same student on labels, and compare.

    Args:
        out: folder of the runs and the report; run the demo again to resume it or to see the table again.
        members: number of teachers in the ensemble.
        seeds: number of students with and without distillation.
        jobs: number of runs at a time, or Ray; see `instar.jobs.outcomes`.
    """
    started = time.monotonic()
    parse_jobs(jobs)  # refuses a wrong value before the first run
    folder = local_path(out, "out")
    # only the teachers see shifted digits, which made such small students worse
    teachers = [
        _make_stage(folder / f"teacher-{i}", DEMO_TEACHER, seed=1000 + i, views="Shift(1)", epochs=40)
        for i in range(members)
    ]
    # of the same seeds and epochs as the distilled ones, so that the two arms are paired
    hard = [_make_stage(folder / f"labels-{seed}", DEMO_STUDENT, seed=seed, epochs=60) for seed in range(seeds)]
    distilled = [
        _make_stage(
            folder / f"distilled-{seed}",
            DEMO_STUDENT,
            seed=seed,
            epochs=60,
            teachers=[str(teacher.out) for teacher in teachers],
            objective=DEMO_OBJECTIVE,
            **shared_target_settings(folder, "store"),  # the ensemble is queried once for all seeds
        )
        for seed in range(seeds)
    ]
    # students of labels need no teacher, so they train beside the teachers
    run_all([Job(stage.run, stage.out) for stage in teachers + hard], jobs)
    run_all([Job(stage.run, stage.out) for stage in distilled], jobs)

    ensemble = evaluate(Ensemble([teacher.out for teacher in teachers]), load_data(teachers[0].config.data))
    results = {stage.out.name: Run(stage.out).result for stage in teachers + hard + distilled}
    errors = [
        [results[stage.out.name]["metrics"]["errors"] for stage in group] for group in (teachers, hard, distilled)
    ]
    return DemoSummary(
        samples=ensemble["samples"],
        ensemble_parameters=sum(results[stage.out.name]["parameters"] for stage in teachers),
        ensemble_errors=ensemble["errors"],
        member_errors=errors[0],
        student_parameters=results[distilled[0].out.name]["parameters"],
        hard_errors=errors[1],
        distilled_errors=errors[2],
        gain=paired_interval(errors[2], errors[1]),
        report=str(report_where_possible(folder)),
        seconds=time.monotonic() - started,
    )


def _make_stage(out: Path, model: dict[str, Any], *, epochs: int, **config: Any) -> Stage:
    # the validation samples have served their purpose, the choice of these settings, and are trained on too
    data = {"source": "digits", "validation": 0.2, "train_on_all": True}
    values = {"data": data, "model": model, "training": DEMO_TRAINING | {"epochs": epochs}, **config}
    return Stage(validate(RunConfig, values), out, show=False)
