"""The contract of jobs, in this process and in a pool of this machine; on Ray it is in test_ray.py."""

import os
import pickle
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from instar.errors import DataError, RunError
from instar.jobs import JobsError, outcomes, run_all
from instar.runs.run import Run

PLACES = pytest.mark.parametrize("jobs", [1, "2"])


@PLACES
def test_values_come_in_the_order_of_the_tasks(jobs):
    ended = {}
    tasks = [partial(pow, 2, exponent) for exponent in range(5)]
    assert run_all(tasks, jobs, done=ended.__setitem__) == [1, 2, 4, 8, 16]
    assert ended == {index: 2**index for index in range(5)}


def test_nothing_to_do_is_done():
    assert run_all([], jobs=2) == []
    assert outcomes([], jobs=2) == []


@PLACES
def test_a_failed_task_does_not_stop_the_others(jobs):
    ended = []
    found = outcomes(
        [partial(divmod, 1, 0), *(partial(pow, 2, k) for k in range(4))], jobs, lambda k, _: ended.append(k)
    )
    assert type(found[0].error) is ZeroDivisionError
    assert [outcome.get() for outcome in found[1:]] == [1, 2, 4, 8]
    assert sorted(ended) == [1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError):
        found[0].get()


def test_a_single_failure_is_raised_as_it_is(tasks):
    with pytest.raises(DataError, match=r"^the map is missing\.$"):
        run_all([partial(pow, 2, 2), partial(tasks.fail_in_a_sentence, "map")])


def test_several_sentences_become_one_and_name_their_tasks(tasks):
    failing = [partial(tasks.fail_in_a_sentence, word) for word in ("map", "key")]
    with pytest.raises(
        JobsError, match=r"^2 of 3 .* failed\. task 0: the map is missing\. task 2: the key is missing\.$"
    ):
        run_all([failing[0], partial(pow, 2, 2), failing[1]])


def test_errors_of_the_program_stay_apart_from_the_sentences(tasks):
    with pytest.raises(ExceptionGroup, match=r"2 of 2 tasks failed: task 0, task 1") as caught:
        run_all([partial(tasks.fail_in_a_sentence, "map"), partial(divmod, 1, 0)])
    assert [type(error) for error in caught.value.exceptions] == [DataError, ZeroDivisionError]


def test_what_cannot_travel_is_a_failure_of_its_task_alone(tasks):
    found = outcomes([lambda: 1, tasks.unpicklable, tasks.fail_oddly, partial(pow, 2, 2)], 2)
    assert all("pickle" in str(found[index].error) for index in (0, 1))
    assert str(found[2].error) == "OddError: 1 and 2"
    assert "in fail_oddly" in found[2].error.__notes__[0]
    assert found[3].get() == 4


@PLACES
def test_an_interrupt_ends_the_rest(jobs):
    def interrupt(index, value):
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_all([partial(pow, 2, 2), partial(time.sleep, 0 if jobs == 1 else 60)], jobs, interrupt)
    assert time.monotonic() - started < 30


def test_a_pool_works_in_the_folder_of_its_driver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_all([Path.cwd, Path.cwd], 2) == [tmp_path, tmp_path]


def test_stages_print_into_their_folders(tmp_path, tasks, capfd):
    stages = [tasks.stage(tmp_path / "noisy", kind=tasks.Noisy), tasks.stage(tmp_path / "quiet")]
    runs = run_all(tasks.jobs_of(stages), 2)
    text = (tmp_path / "noisy" / "log.txt").read_text()
    assert all(f"by {way}" in text for way in ("print", "the system", "a warning"))
    assert [path.parent.name for path in tmp_path.glob("*/*log.txt")] == ["noisy"]
    assert capfd.readouterr() == ("", "")
    travelled = [pickle.dumps(run) for run in runs]  # the folder's path and its configuration
    assert all(len(one) < 5000 and b"torch" not in one for one in travelled), "models must not travel"


@PLACES
def test_a_failure_is_left_in_the_run_folder(tmp_path, tasks, jobs):
    stages = [tasks.stage(tmp_path / "fails", kind=tasks.Failing), tasks.stage(tmp_path / "ends")]
    with pytest.raises(DataError, match="the third step"):
        run_all(tasks.jobs_of(stages), jobs)
    assert Run(tmp_path / "ends").complete
    assert (tmp_path / "fails" / "error.txt").read_text().endswith("DataError: the third step is missing.\n")
    if jobs != 1:
        assert "by print" in (tmp_path / "fails" / "log.txt").read_text()
    run_all(tasks.jobs_of([tasks.stage(tmp_path / "fails")]), jobs)
    assert Run(tmp_path / "fails").complete
    assert not (tmp_path / "fails" / "error.txt").exists()


def test_a_failure_before_the_run_leaves_folders_in_which_it_can_start(tmp_path, tasks):
    (tmp_path / "interrupted").mkdir()  # while its first files were written
    (tmp_path / "interrupted" / "environment.json").write_text("{}")
    stages = [tasks.stage(tmp_path / name, kind=tasks.Unstarted) for name in ("interrupted", "new")]
    found = outcomes(tasks.jobs_of(stages), 2)
    assert all(type(outcome.error) is ZeroDivisionError for outcome in found)
    assert all("nearly" in "".join(outcome.error.__notes__) for outcome in found)
    assert not (tmp_path / "new").exists()
    assert tasks.stage(tmp_path / "interrupted").run().complete


def test_a_failure_before_the_run_is_left_in_a_folder_that_an_earlier_one_started(tmp_path, tasks):
    with pytest.raises(DataError):
        tasks.stage(tmp_path / "run", kind=tasks.Failing).run()
    (tmp_path / "run" / "error.txt").unlink()
    with pytest.raises(ZeroDivisionError):
        run_all(tasks.jobs_of([tasks.stage(tmp_path / "run", kind=tasks.Unstarted)]))
    assert "ZeroDivisionError" in (tmp_path / "run" / "error.txt").read_text()


def test_a_folder_of_another_configuration_is_left_alone(tmp_path, tasks):
    with pytest.raises(DataError):
        tasks.stage(tmp_path / "run", kind=tasks.Failing).run()
    (tmp_path / "run" / "error.txt").write_text("its own\n")
    with pytest.raises(RunError, match="contains a run of another configuration"):
        run_all(tasks.jobs_of([tasks.stage(tmp_path / "run", seed=1)]))
    assert (tmp_path / "run" / "error.txt").read_text() == "its own\n"


def test_a_stage_whose_worker_was_killed_ends_alike(tmp_path, tasks, capfd):
    straight = tasks.stage(tmp_path / "straight").run()
    stages = [tasks.stage(tmp_path / "killed", kind=tasks.Killed), tasks.stage(tmp_path / "other", 1)]
    killed, other = run_all(tasks.jobs_of(stages), 2)
    tasks.assert_same(straight, killed)
    assert other.complete
    assert (tmp_path / "killed" / "log.txt").read_text().count("by print") == 2, "of both attempts"
    told = f"instar: the worker of '{tmp_path}/killed' was lost (killed by SIGKILL); retry 1 of 3.\n"
    assert capfd.readouterr().err == told


def test_a_task_that_kills_every_worker_is_given_up_and_named(tmp_path, deaths):
    given_up, other = outcomes([deaths.doomed(tmp_path / "doomed"), partial(pow, 2, 2)], 2)
    sentence = f"the worker of '{tmp_path}/doomed' was lost (killed by SIGKILL), after 3 retries; "
    assert str(given_up.error).startswith(sentence)
    assert isinstance(given_up.error, JobsError)
    assert (tmp_path / "doomed" / "error.txt").read_text().startswith(sentence)
    assert other.get() == 4


def test_a_driver_that_was_killed_is_started_again(tmp_path, tasks):
    straight = tasks.stage(tmp_path / "straight").run()
    script = tmp_path / "driver.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "import job_tasks as tasks\n"
        "from instar.jobs import run_all\n"
        "if __name__ == '__main__':\n"
        "    names = {'killed': tasks.KillsDriver, 'other': tasks.Stage}\n"
        "    stages = [tasks.stage(Path('runs') / name, kind=kind) for name, kind in names.items()]\n"
        "    run_all(tasks.jobs_of(stages), 2)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(tasks.__file__).parent)}
    command = [sys.executable, str(script)]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False, timeout=60).returncode == -9
    assert not Run(tmp_path / "runs" / "killed").complete
    time.sleep(1)  # its worker ends with it, and must not hold the folder
    stages = [tasks.stage(tmp_path / "runs" / name) for name in ("killed", "other")]
    tasks.assert_same(straight, run_all(tasks.jobs_of(stages))[0])
    assert Run(tmp_path / "runs" / "other").complete
