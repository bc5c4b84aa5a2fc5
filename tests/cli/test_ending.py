"""How a command ends: exit code, one sentence, and nothing where nobody reads."""

import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instar.cli import ending
from instar.cli.output import print_result
from instar.errors import ConfigError, InstarError, as_sentence, say

COMMAND = [sys.executable, "-m", "instar.cli"]


def failing(error: BaseException) -> Callable[..., None]:
    def verb(*_: object, **__: object) -> None:
        raise error

    return verb


@pytest.mark.parametrize("value", ["x" * 6000, "'" * 6000, "a b" * 3000, "\x1b[31m\n" * 2000, "\udcff" * 900, 10**4000])
def test_no_sentence_is_long_or_of_several_lines(value: object) -> None:
    error = ConfigError(f"name must be short, got {value!r}; give another.")
    assert len(str(error)) <= 900
    assert str(error).isprintable()
    assert str(error).startswith("name must be short, got ")
    assert str(error).endswith("; give another.")


def test_a_sentence_of_usual_length_stays_as_it_is() -> None:
    path = "/".join(["some-longer-name"] * 12)
    assert as_sentence(f"'{path}' is missing.") == f"'{path}' is missing."
    assert str(InstarError("a")) == "a"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "digits", "--model", "m" * 6000, "--out", "run"],
        ["train", "digits", "--model", "mlp", "--epochs", "9" * 4000, "--out", "run"],
        ["train", "digits", "--model", "mlp", "--epochs", "x" * 6000, "--out", "run"],
        ["train", "d" * 6000, "--model", "mlp", "--arg", "widths=[8]", "--out", "run"],
        ["train", "digits", "--objective", "HardLabels()" + "+" * 6000, "--model", "mlp", "--out", "run"],
        ["train", "--" + "x" * 6000],
        ["x" * 6000],
        ["evaluate", "x" * 6000],
        ["label", "digits", "--set", "y" * 6000, "--teacher", "t", "--out", "run"],
    ],
)
def test_a_refusal_does_not_echo_thousands_of_characters(
    instar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = instar(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("instar: ")
    assert err.count("\n") == 1
    assert len(err) < 1000


def test_what_the_parser_refuses_is_a_sentence_with_the_value_and_where_help_is(instar) -> None:
    code, _, err = instar("train", "digits", "--epochs", "many", "--out", "run")
    assert code == 2
    assert re.fullmatch(r"instar: Invalid value for '--epochs'.*'many'.*\. See: instar train --help\n", err)
    code, _, err = instar("specialists", "cluster", "--clutsers", "3")
    assert code == 2
    assert re.fullmatch(r"instar: .*--clutsers.*--clusters.* See: instar specialists cluster --help\n", err)


def test_a_command_without_a_verb_shows_the_help(instar) -> None:
    code, _, err = instar()
    assert code == 2
    assert "born-again" in err


def test_an_interrupted_command_says_how_to_go_on(instar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instar.procedures.compare.compare", failing(KeyboardInterrupt()))
    assert instar("compare", "a", "b") == (
        130, "", "instar: interrupted; run the same command again to resume.\n"
    )  # fmt: skip


def test_an_unexpected_error_names_the_file_of_its_traceback(instar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instar.procedures.compare.compare", failing(ZeroDivisionError("by zero " * 500)))
    code, out, err = instar("compare", "a", "b")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    found = re.search(
        r"^instar: unexpected ZeroDivisionError: by zero .* The traceback is in '([^']*)'; .*report it", err
    )
    assert found
    assert "Traceback (most recent call last)" in Path(found[1]).read_text()
    Path(found[1]).unlink()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied", "/x/y"), "'/x/y' cannot be read or written: Permission denied."),
        (OSError(28, "No space left on device"), "a file cannot be read or written: No space left on device."),
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
    ],
)
def test_what_is_short_on_the_machine_is_for_the_user_to_mend(
    instar, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    monkeypatch.setattr("instar.procedures.compare.compare", failing(error))
    code, _, err = instar("compare", "a", "b")
    assert code == 2
    assert err.startswith(f"instar: {sentence}")


def test_nobody_reads_stdout() -> None:
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([*COMMAND, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (ending.UNREAD, "")


def test_stdout_is_full() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run([*COMMAND, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "instar: a file cannot be read or written: No space left on device.\n"


def test_there_is_neither_stdout_nor_stderr(instar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ["train", "digits", "--model", "mlp", "--arg", "widths=[4]", "--epochs", "1", "--out", tmp_path / "run"]
    label = ["label", "digits", "--teacher", tmp_path / "run", "--out", tmp_path / "store"]
    student = ["distill", *train[1:-1], tmp_path / "student", "--teacher", tmp_path / "store"]
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    commands = [[*train, "--set", "training.precision=bfloat16"], label, student, ["inspect", tmp_path / "student"]]
    assert [instar(*command) for command in commands] == [(0, "", "")] * 4
    assert instar("compare", "nowhere", "there")[0] == 2


def test_what_is_said_goes_to_no_closed_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as gone:
        monkeypatch.setattr(sys, "stderr", gone)
    say("nobody hears this")


def test_stdout_takes_names_that_are_no_text(tmp_path: Path) -> None:
    script = "import sys; from instar.cli.ending import exit_code; "
    script += "sys.exit(exit_code(lambda **_: print('\\udcff\u00b1')))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "\\udcff\\xb1\n"


def test_the_default_objective_is_the_same_in_both_surfaces_and_at_its_temperature() -> None:
    from instar.objectives import distillation
    from instar.stages.arguments import distillation_objective

    assert distillation_objective(None, None) is None
    assert distillation_objective(None, 4.0) == distillation()
    assert distillation_objective(None, 1.23456789) == "SoftTargets(1.23456789) + 0.1 * HardLabels()"
    with pytest.raises(ConfigError, match="not both"):
        distillation_objective("HardLabels()", 4.0)


@pytest.mark.parametrize(("before", "after"), [(700, 10_000), (50_000, 50_000)])
def test_a_command_does_not_look_for_garbage_among_its_imports(
    instar: Callable[..., Any], before: int, after: int
) -> None:
    own = gc.get_threshold()
    try:
        gc.set_threshold(before, 9, 8)
        assert instar("papers", "list")[0] == 0
        assert gc.get_threshold() == (after, 9, 8)
    finally:
        gc.set_threshold(*own)


@pytest.mark.parametrize(("rank", "size", "printed"), [("0", "2", True), ("1", "2", False), ("1", "1", True)])
def test_the_result_of_several_processes_is_printed_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, size: str, printed: bool
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    print_result({"errors": 3}, "3 errors", True)
    print_result({"errors": 3}, "3 errors", False)
    assert bool(capsys.readouterr().out) == printed
