"""The contract of jobs on Ray: on two nodes of this machine, and on an instance that is started for a command."""

import json
import os
import random
import socket
import sys
import threading
import time
from contextlib import redirect_stdout, suppress
from functools import partial
from pathlib import Path

import pytest

from instar.errors import ConfigError, DataError
from instar.jobs import JobsError, RayCluster, outcomes, run_all
from instar.jobs.ray import _check, _StdoutOfThisThread
from instar.runs.run import Run

ray = pytest.importorskip("ray", reason="Ray is not installed")
# Ray leaves the log files of the processes that it starts to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*/ray/session_.*/logs/:ResourceWarning")
NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}


def _free_port() -> int:
    """Return a port that only who asks for it gets: the system hands out those from 32,768 to anyone, at any moment."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def _await_listener(port: int) -> None:
    """Wait for the server of clients, which Ray starts without waiting for it."""
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 10).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module", autouse=True)
def _environment():
    """What the processes of every instance of Ray find in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15, its default, starves workers where other tests run too
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "120")  # a busy machine starts a server in over 30 s
        yield


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one core."""
    from ray.cluster_utils import Cluster

    port = _free_port()
    started = Cluster(initialize_head=True, head_node_args={**NODE, "ray_client_server_port": port})
    started.client = f"ray://127.0.0.1:{port}"
    started.add_node(**NODE)
    _await_listener(port)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture(scope="class")
def connected(cluster):
    """A connection of the caller's own, which jobs use and leave open; one for many tests is quicker."""
    ray.init(cluster.address, log_to_driver=False, logging_level="error")
    yield
    assert ray.is_initialized()
    ray.shutdown()


@pytest.mark.usefixtures("connected")
class TestCluster:
    def test_both_nodes_work(self, tasks):
        (one, first), (two, second) = run_all([tasks.where] * 2, "ray")
        assert one != two
        assert first != second

    def test_weights_are_those_of_one_process(self, tmp_path, tasks):
        places = {"here": 1, "pool": os.cpu_count() or 1, "ray": "ray"}  # each with one thread per task
        found = {
            name: run_all(tasks.jobs_of([tasks.stage(tmp_path / name / str(seed), seed) for seed in (0, 1)]), jobs)
            for name, jobs in places.items()
        }
        for name in ("pool", "ray"):
            for straight, run in zip(found["here"], found[name], strict=True):
                tasks.assert_same(straight, run)

    def test_a_failed_task_does_not_stop_the_others(self, tasks):
        ended = {}
        failing = [partial(tasks.fail_in_a_sentence, "map"), tasks.fail_oddly, tasks.unpicklable]
        found = outcomes([*failing, partial(pow, 2, 3)], "ray", ended.__setitem__)
        assert type(found[0].error) is DataError
        assert str(found[0].error) == "the map is missing."
        assert str(found[1].error) == "OddError: 1 and 2"
        assert "pickle" in str(found[2].error)
        assert ended == {3: 8}
        with pytest.raises(DataError, match=r"^the map is missing\.$"):
            run_all(failing[:1], "ray")
        with pytest.raises(JobsError, match=r"^2 of 2 tasks failed\. task 0: the map is missing\. task 1: the map"):
            run_all(failing[:1] * 2, "ray")

    def test_logs_and_failures_are_in_the_run_folders(self, tmp_path, tasks, monkeypatch):
        monkeypatch.chdir(tmp_path)
        kinds = {"noisy": tasks.Noisy, "fails": tasks.Failing, "unstarted": tasks.Unstarted}
        found = outcomes(tasks.jobs_of([tasks.stage(Path(name), kind=kind) for name, kind in kinds.items()]), "ray")
        assert [type(outcome.error) for outcome in found] == [type(None), DataError, ZeroDivisionError]
        text = (tmp_path / "noisy" / "log.txt").read_text()
        assert all(f"by {way}" in text for way in ("print", "the system", "a warning"))
        assert (tmp_path / "fails" / "error.txt").read_text().endswith("DataError: the third step is missing.\n")
        assert not (tmp_path / "unstarted").exists()

    def test_a_killed_worker_is_retried_and_a_restarted_driver_goes_on(self, tmp_path, tasks):
        straight = tasks.stage(tmp_path / "straight").run()
        stages = [tasks.stage(tmp_path / "killed", kind=tasks.Killed), tasks.stage(tmp_path / "other", 1)]
        (killed,) = run_all(tasks.jobs_of(stages[:1]), "ray")
        tasks.assert_same(straight, killed)
        assert (tmp_path / "killed" / "log.txt").read_text().count("by print") == 2, "of both attempts"
        written = (tmp_path / "killed" / "weights.safetensors").stat().st_mtime_ns
        assert all(run.complete for run in run_all(tasks.jobs_of(stages), "ray"))
        assert (tmp_path / "killed" / "weights.safetensors").stat().st_mtime_ns == written

    def test_an_interrupt_cancels_the_rest(self, tmp_path):
        def interrupt(index, value):
            raise KeyboardInterrupt

        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run_all([partial(pow, 2, 2), partial(time.sleep, 60)], "ray", interrupt)
        assert run_all([partial(pow, 2, 2)] * 2, "ray") == [4, 4]
        assert time.monotonic() - started < 30

    def test_accelerators_are_hidden_from_who_asked_for_none(self, tasks):
        assert run_all([tasks.visible_accelerators], "ray") == [""]

    def test_what_no_node_has_is_refused_on_a_machine_and_awaited_on_a_cluster(self, capfd):
        needs = "a task needs 1 cores and 8 accelerators, but Ray's nodes have 1 cores and 0 accelerators, 1 cores"
        with pytest.raises(ConfigError, match=needs):
            _check(RayCluster(gpus=8), alone=True)
        _check(RayCluster(gpus=8), alone=False)
        assert capfd.readouterr().err.startswith(f"instar: {needs}")

    def test_a_folder_that_a_node_does_not_have_is_told(self, tmp_path, monkeypatch):
        monkeypatch.setattr("instar.jobs.ray.os.getcwd", lambda: str(tmp_path / "missing"))
        with pytest.raises(ConfigError, match=r"a task cannot work in '.*/missing' on node '.*': No such file"):
            run_all([partial(pow, 2, 2)], "ray")


def test_a_task_that_kills_every_worker_is_given_up_and_named(cluster, monkeypatch, tmp_path, deaths, capfd):
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    given_up, other = outcomes([deaths.doomed(tmp_path / "doomed"), partial(pow, 2, 2)], "ray")
    sentence = f"the worker of '{tmp_path}/doomed' was lost, after 3 retries: "
    assert str(given_up.error).startswith(sentence)
    assert isinstance(given_up.error, JobsError)
    assert (tmp_path / "doomed" / "error.txt").read_text().startswith(sentence)
    assert other.get() == 4
    assert not ray.is_initialized()
    assert capfd.readouterr().out == "", "results go there"


def test_by_the_address_of_a_head_node(cluster, tmp_path, tasks):
    stages = [tasks.stage(tmp_path / "ends"), tasks.stage(tmp_path / "fails", kind=tasks.Failing)]
    with pytest.raises(DataError, match=r"^the third step is missing\.$"):
        run_all(tasks.jobs_of(stages), cluster.client)
    assert Run(tmp_path / "ends").complete
    assert not ray.is_initialized()


def test_what_other_threads_print_does_not_go_among_the_results(capsys):
    with redirect_stdout(_StdoutOfThisThread(sys.stdout)):
        news = threading.Thread(target=print, args=["(raylet) a worker died"])
        news.start()
        news.join()
        print("a result")
    assert capsys.readouterr() == ("a result\n", "(raylet) a worker died\n")


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            "Initialization failure from server:\nTraceback (most recent call last):\nRuntimeError: no backend.\n",
            "RuntimeError: no backend",
        ),
        ("The head is away.\nSee the logs.", "The head is away"),
        ("", "ConnectionAbortedError"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(monkeypatch, told, sentence):
    def refuse(*_, **__):
        raise ConnectionAbortedError(told)

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ConfigError, match=rf"^Ray at 'auto' cannot be used: {sentence}\.$"):
        run_all([partial(pow, 2, 2)], "ray")


def test_the_command_line_on_this_machine(tmp_path, monkeypatch, instar):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = [
        "--model",
        "mlp",
        "--arg",
        "widths=[8]",
        "--epochs",
        "1",
        "--generations",
        "1",
        "--set",
        "data.subset=120",
    ]
    code, out, _ = instar(
        "born-again", "digits", *options, "--jobs", "ray", "--json", "--out", str(tmp_path / "lineage")
    )
    assert code == 0
    assert [run["run"] for run in json.loads(out)["runs"]][:2] == ["generation-0", "generation-1"]
    assert not ray.is_initialized()
