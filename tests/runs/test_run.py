"""The run folder: how it is started, resumed and completed, and which folders are refused."""

import json
from pathlib import Path

import pytest

from instar.errors import RunError
from instar.runs import run as module
from instar.runs.files import write_json
from instar.runs.run import RUN_FORMAT, Run

CONFIG = {"seed": 0, "training": {"epochs": 3, "milestones": (1, 2)}, "teachers": ()}
FINGERPRINTS = {"train": "abc", "test": "def"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.start(tmp_path / "run", CONFIG, FINGERPRINTS)


def test_start_writes_what_was_asked_for(run: Run) -> None:
    opened = Run(run.path)
    assert opened.config == json.loads(json.dumps(CONFIG))
    assert opened.fingerprints == FINGERPRINTS
    assert not opened.complete
    assert {path.name for path in run.path.iterdir()} == {".lock", "config.json", "environment.json"}


def test_start_takes_the_same_run_up_again(run: Run) -> None:
    run.metrics_log.append({"step": 1})
    before = (run.path / "config.json").read_bytes()
    again = Run.start(run.path, CONFIG, FINGERPRINTS)
    assert again.path == run.path
    assert again.history() == [{"step": 1}]
    assert (run.path / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("config", "fingerprints", "message"),
    [
        (CONFIG | {"seed": 7}, FINGERPRINTS, r"another configuration \(seed was 0, now 7\); choose another folder"),
        (
            {**CONFIG, "training": {"epochs": 5, "milestones": (1,)}},
            FINGERPRINTS,
            r"\(training\.epochs was 3, now 5; training\.milestones was \[1, 2\], now \[1\]\)",
        ),
        ({**CONFIG, "teachers": ("runs/a",)}, FINGERPRINTS, r"\(teachers was \[\], now \['runs/a'\]\)"),
        (CONFIG, {"train": "abc", "test": "xyz"}, r"\(fingerprints\.test was 'def', now 'xyz'\)"),
        (CONFIG, {"train": "abc"}, r"\(fingerprints\.test was 'def', now None\)"),
    ],
)
def test_another_configuration_is_refused_by_its_fields(run: Run, config, fingerprints, message: str) -> None:
    with pytest.raises(RunError, match=message):
        Run.start(run.path, config, fingerprints)
    assert Run(run.path).config["seed"] == 0


def test_a_newer_format_is_refused(run: Run) -> None:
    content = json.loads((run.path / "config.json").read_text()) | {"format": RUN_FORMAT + 1}
    (run.path / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        RunError, match=rf"was written in run format {RUN_FORMAT + 1}, .* reads up to {RUN_FORMAT}; upgrade"
    ):
        Run(run.path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match=r"is not a run folder: it has no config\.json\."):
            Run(path)


@pytest.mark.parametrize("content", ["{}", "[]", '"x"', '{"model_type": "vit"}', '{"format": "1"}'])
def test_a_config_of_another_kind_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=r"is not a run folder: another program wrote its config\.json\."):
        Run(tmp_path)
    with pytest.raises(RunError, match=r"is not a run folder: another program wrote its config\.json\."):
        Run.start(tmp_path, CONFIG, FINGERPRINTS)
    assert (tmp_path / "config.json").read_text() == content


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for path in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(RunError, match="exists and is not a run folder; choose a new or an empty folder"):
            Run.start(path, CONFIG, FINGERPRINTS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_start_that_was_killed_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(path: Path, values: object) -> None:
        if path.name == "config.json":
            raise KeyboardInterrupt
        write_json(path, values)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            Run.start(tmp_path, CONFIG, FINGERPRINTS)
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "environment.json"}
    assert Run.start(tmp_path, CONFIG, FINGERPRINTS).config["seed"] == 0


def test_hidden_files_do_not_make_a_folder_foreign(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").touch()
    assert Run.start(tmp_path, CONFIG, FINGERPRINTS).path == tmp_path


def test_the_result_makes_a_run_complete(run: Run) -> None:
    with pytest.raises(RunError, match=r"is not complete; run its command again to finish it\."):
        _ = run.metrics
    write_json(run.path / "result.json", {"metrics": {"errors": 7}})
    assert run.complete
    assert run.metrics == {"errors": 7}


def test_the_history_leaves_out_a_line_that_was_cut(run: Run) -> None:
    assert run.history() == []
    run.metrics_log.append({"step": 1, "loss": 0.5})
    run.metrics_log.append({"step": 2, "loss": 0.25})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert run.history() == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


def test_a_damaged_line_in_the_middle_is_told(run: Run) -> None:
    (run.path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl' is damaged: "):
        run.history()


def test_forget_after_drops_later_and_cut_lines(run: Run) -> None:
    for step in (10, 20, 30):
        run.metrics_log.append({"step": step})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')
    run.metrics_log.forget_after(20)
    run.metrics_log.append({"step": 25})
    assert run.history() == [{"step": 10}, {"step": 20}, {"step": 25}]


def test_forgetting_where_nothing_was_written_is_no_error(run: Run) -> None:
    run.metrics_log.forget_after(0)
    assert run.history() == []
