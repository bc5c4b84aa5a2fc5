"""Run folders written by hand become rows, groups and comparisons."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instar.analysis import paired_interval, wilson_interval
from instar.errors import RunError
from instar.reporting import Group, compare_groups, make_groups
from instar.runs.rows import collect
from instar.runs.run import Run

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, write_run: Write) -> Write:
    """Write a run folder of a small student, complete when it has errors."""
    lines = [{"kind": "train", "step": 9 * epoch, "epoch": float(epoch), "loss": 2.0 / epoch} for epoch in (1, 2)]

    def write_one(name: str, errors: int | None = None, seed: int = 0, **config: Any) -> Path:
        metrics = None
        if errors is not None:
            metrics = {"samples": 597, "errors": errors, "error": errors / 597, "nll": float("nan")}
            metrics["error_interval"] = wilson_interval(errors, 597)
        return write_run(tmp_path / name, metrics, lines=lines, seed=seed, **config)

    return write_one


def groups_of(root: Path) -> dict[str, Group]:
    return {group.name: group for group in make_groups(collect(root))}


def test_all_states_are_found_at_any_depth(tmp_path: Path, write: Write) -> None:
    write("deep/down/run-10", 40)
    write("deep/down/run-9", 41)
    write("begun")
    (write("broken", 3) / "config.json").write_text('{"format": 1, "config"')
    (tmp_path / "other program").mkdir()
    (tmp_path / "other program" / "config.json").write_text('{"model_type": "bert"}')
    rows = collect(tmp_path)
    assert [(row.name, row.state) for row in rows] == [
        ("begun", "incomplete"),
        ("broken", "damaged"),
        ("deep/down/run-9", "complete"),
        ("deep/down/run-10", "complete"),
        ("other program", "foreign"),
    ]
    assert rows[0].notes == ("Epoch 2 of 4 so far; run its command again to finish it.",)
    assert str(tmp_path) not in rows[1].notes[0]


def test_numbers_are_those_of_the_result(tmp_path: Path, write: Write) -> None:
    result = json.loads((write("run", 40) / "result.json").read_text())
    (row,) = collect(tmp_path)
    low, high = result["metrics"]["error_interval"]
    measured = {"samples": 597, "errors": 40, "error": 40 / 597, "error_low": low, "error_high": high}
    assert row.numbers == measured | {"parameters": 1234567, "seconds": 1234.56}, "NaN is no number"


def test_a_root_that_is_a_run_goes_by_its_own_name(write: Write) -> None:
    assert [row.name for row in collect(write("alone", 1))] == ["alone"]


@pytest.mark.parametrize(
    ("file", "content", "state"),
    [
        ("config.json", "[]", "damaged"),
        ("config.json", '{"format": 99}', "damaged"),
        ("config.json", '{"format": 1, "config": {}, "fingerprints": {}}', "damaged"),
        ("config.json", '{"format": "new", "config": {}, "fingerprints": {}}', "damaged"),
        ("result.json", "{}", "damaged"),
        ("result.json", "[1]", "damaged"),
        ("result.json", '{"metrics": ', "damaged"),
        ("metrics.jsonl", "{\n{}\n", "complete"),
        ("metrics.jsonl", "3\nnull\n", "complete"),
        ("environment.json", "{", "complete"),
        ("environment.json", "3", "complete"),
    ],
)
def test_each_damaged_file_gives_one_sentence(
    tmp_path: Path, write: Write, file: str, content: str, state: str
) -> None:
    (write("run", 40) / file).write_text(content)
    (row,) = collect(tmp_path)
    assert row.state == state
    assert len(row.notes) == 1
    assert all("\n" not in note and note.endswith(".") for note in row.notes)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("nan", "'fingerprints': the fingerprints of the data are not an object."),
        ({"test": 1e300}, "'fingerprints.data.str': input should be a valid string, got {'test': 1e+300}."),
    ],
)
def test_fingerprints_of_data_that_are_no_hashes_are_damage(
    tmp_path: Path, write: Write, data: object, sentence: str
) -> None:
    config = write("run", 40) / "config.json"
    described = json.loads(config.read_text())
    config.write_text(json.dumps(described | {"fingerprints": described["fingerprints"] | {"data": data}}))
    with pytest.raises(RunError, match=re.escape(sentence)):
        Run(config.parent)
    (row,) = collect(tmp_path)
    assert (row.state, row.notes) == ("damaged", (f"'config.json' is damaged: {sentence}",))


def test_binary_and_missing_files_are_damage_too(tmp_path: Path, write: Write) -> None:
    (write("binary", 40) / "config.json").write_bytes(b"\xff\xfe\x00")
    (write("headless", 40) / "config.json").unlink()
    assert [(row.name, row.state) for row in collect(tmp_path)] == [("binary", "damaged"), ("headless", "damaged")]


def test_the_error_that_stopped_a_run_is_shown(tmp_path: Path, write: Write) -> None:
    (write("run") / "error.txt").write_text("Traceback\n  ...\ninstar.errors.NonFiniteError: term 'a' is NaN.\n")
    assert collect(tmp_path)[0].notes[0].endswith("It stopped with: term 'a' is NaN.")


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a folder"):
        collect(tmp_path / "nowhere")


def test_groups_differ_only_in_seed(tmp_path: Path, write: Write) -> None:
    for seed in range(3):
        write(f"labels-{seed}", 40 + seed, seed)
        write(f"longer-{seed}", 40, seed, training={"epochs": 9})
    write("again", 50, 0)  # a second run of seed 0 counts by its mean with the first
    groups = make_groups(collect(tmp_path))
    assert [len(group.rows) for group in groups] == [4, 3]
    assert groups[0].by_seed("errors") == {0: 45, 1: 41, 2: 42}
    assert groups[0].by_seed("nll") == {}


def test_students_of_teachers_that_differ_in_seed_are_one_group(tmp_path: Path, write: Write) -> None:
    for seed in range(2):
        teacher = write(f"teacher-{seed}", 20, seed, model={"name": "mlp", "arguments": {"widths": [256]}})
        write(f"student-{seed}", 30, seed, teachers=[str(teacher)])
        write(f"pupil-{seed}", 30, seed, teachers=[f"/moved/since/student-{seed}"])
        write(f"stranger-{seed}", 30, seed, teachers=["/from/elsewhere"])
    assert set(groups_of(tmp_path)) == {"pupil-*", "stranger-*", "student-*", "teacher-*"}


def test_distilled_and_labels_are_paired_by_seed(tmp_path: Path, write: Write) -> None:
    labels, distilled = {0: 60, 1: 72, 2: 65, 3: 70}, {1: 60, 2: 58, 3: 57, 4: 1}
    for seed, errors in labels.items():
        write(f"labels-{seed}", errors, seed)
        write(f"longer-{seed}", 1, seed, training={"epochs": 9})
        write(f"wide-{seed}", 1, seed, model={"name": "mlp", "arguments": {"widths": [64]}})
    for seed, errors in distilled.items():
        write(f"distilled-{seed}", errors, seed, teachers=["Module"], objective="SoftTargets(4)")
    (found,) = compare_groups(make_groups(collect(tmp_path)))
    assert (found.distilled.name, found.labels.name, found.seeds) == ("distilled-*", "labels-*", (1, 2, 3))
    fewer, low, high = paired_interval([60, 58, 57], [72, 65, 70])
    assert (found.fewer, found.low, found.high) == (fewer, low, high)
    assert found.sentence == (
        f"Over 3 shared seeds, distilled-* makes {fewer:.1f} fewer test errors than labels-*, the same student trained "
        f"on labels (95% interval {low:.1f} to {high:.1f} fewer, paired by seed)."
    )


@pytest.mark.parametrize(
    ("distilled", "words"),
    [
        ([70, 82], "10.0 more test errors"),
        ([70, 82], "every seed shows the same difference, so there is no interval"),
        ([59, 70], "1.5 fewer test errors"),
        (
            [59, 70],
            "95% interval from 4.9 more to 7.9 fewer, paired by seed; these seeds do not settle which is better",
        ),
        ([59, 70], "The two also differ in training.epochs."),
    ],
)
def test_the_sentence_says_which_way_and_how_sure(
    tmp_path: Path, write: Write, distilled: list[int], words: str
) -> None:
    for seed, errors in enumerate([60, 72]):
        write(f"labels-{seed}", errors, seed, training={"epochs": 9})
        write(f"distilled-{seed}", distilled[seed], seed, teachers=["Module"])
    (found,) = compare_groups(make_groups(collect(tmp_path)))
    assert words in found.sentence


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (50, "10 fewer test errors than"),
        (61, "1 more test error than"),
        (60, "as many test errors as"),
        (59, "1 fewer test error than"),
    ],
)
def test_one_shared_seed_leaves_other_trainings_open(tmp_path: Path, write: Write, errors: int, words: str) -> None:
    write("labels-0", 60, 0)
    write("distilled-0", errors, 0, teachers=["Module"])
    (found,) = compare_groups(make_groups(collect(tmp_path)))
    assert (found.fewer, found.low, found.high) == (60 - errors, -math.inf, math.inf)
    assert found.sentence == (
        f"With seed 0, distilled-0 makes {words} labels-0, the same student trained on labels (one seed says nothing "
        "about other trainings)."
    )


def test_no_shared_seed_is_not_compared(tmp_path: Path, write: Write) -> None:
    write("labels-0", 60, 0)
    write("distilled-1", 50, 1, teachers=["Module"])
    assert compare_groups(make_groups(collect(tmp_path))) == []


def test_the_report_imports_nothing_that_trains() -> None:
    code = "import sys, instar.reporting.html; print(*[name for name in sys.modules if name.startswith('instar.')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    trains = {f"instar.{name}" for name in ("training", "teachers", "objectives", "procedures", "models", "jobs")}
    assert not trains & set(loaded)
