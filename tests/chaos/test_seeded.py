"""A small seeded part of every kind of chaos (`make chaos` has all of it), and whether its rule can fail."""

import sys
import time
from pathlib import Path

import pytest
from tests.chaos import runner
from tests.chaos.harness import Ended, Outcome, command, problem_of, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.mark.parametrize("kind", runner.kinds())
def test_a_seeded_part_of_every_kind_holds(kind: str, folder: Path) -> None:
    outcomes = [runner.run_trial(kind, 0, number, folder) for number in range(runner.kinds()[kind].SEEDED)]
    assert [(outcome.tried, outcome.problem) for outcome in outcomes if not outcome.held] == []


@pytest.mark.parametrize(
    ("ended", "problem"),
    [
        (Ended(0, "", "", 1.0), None),
        (Ended(2, "", "instar: 'x' is missing.\n", 1.0), None),
        (Ended(2, "", "Usage: instar train\nError: no such option\n", 1.0), None),
        (Ended(2, "", "what?\n", 1.0), "exit code 2 without a sentence"),
        (Ended(2, "", "instar: " + "x" * 2000, 1.0), "stderr has 2008 characters"),
        (Ended(1, "", "Aborted.\n", 1.0), "exit code 1: Aborted."),
        (Ended(0, "", "Traceback (most recent call last):\nKeyError: 3\n", 1.0), "a traceback: KeyError: 3"),
        (Ended(-6, "", "", 1.0), "it was killed by signal 6"),
        (Ended(-9, "", "", 60.0, timed_out=True), "it had not ended after 60 s"),
    ],
)
def test_a_command_may_end_well_or_in_a_sentence(ended: Ended, problem: str | None) -> None:
    found = problem_of(ended)
    assert found is problem is None or (found or "").startswith(problem or "-")


def test_a_child_is_judged_by_what_it_does(tmp_path: Path) -> None:
    refused = command("inspect", "nowhere", cwd=tmp_path)
    assert (refused.code, problem_of(refused)) == (2, None)
    assert (problem_of(start(lambda: 1 // 0).wait()) or "").startswith("a traceback: ZeroDivisionError")
    assert (problem_of(start(lambda: time.sleep(60)).wait(seconds=0.1)) or "").startswith("it had not ended")
    assert "MemoryError" in (problem_of(start(lambda: bytearray(1 << 30), memory=1 << 20).wait()) or "")
    assert start(lambda: print(sys.stdin.read()), stdin="y").wait().out == "y\n"


def test_an_exception_in_a_trial_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = next(iter(runner.kinds()))

    def trials(random: object, count: int, folder: Path) -> Outcome:
        raise KeyError(3)

    monkeypatch.setattr(runner.kinds()[kind], "trials", trials)
    assert "KeyError: 3" in (runner.run_trial(kind, 0, 0, tmp_path).problem or "")
