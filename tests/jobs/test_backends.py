"""What jobs may be, and the sentences about what it may not."""

import sys
import time
from socket import create_server

import pytest

from instar.errors import ConfigError
from instar.jobs import Processes, RayCluster, parse_jobs, run_all


@pytest.mark.parametrize(
    ("jobs", "place"),
    [
        (1, Processes(1)),
        (" 3 ", Processes(3)),
        ("ray", RayCluster("", 1, 0)),
        ("ray?gpus=0.5", RayCluster("", 1, 0.5)),
        ("ray?gpus=2&cpus=4", RayCluster("", 4, 2)),
        ("ray://head", RayCluster("ray://head:10001")),
        ("ray://10.0.0.1:7000?gpus=0.25&cpus=2", RayCluster("ray://10.0.0.1:7000", 2, 0.25)),
        ("ray://[::1]:7000/", RayCluster("ray://[::1]:7000")),
    ],
)
def test_places(jobs, place):
    assert parse_jobs(jobs) == place
    assert place.here == (jobs == 1)


@pytest.mark.parametrize(
    ("jobs", "sentence"),
    [
        (0, "jobs must be at least 1, got 0"),
        ("-2", "jobs must be at least 1, got -2"),
        ("many", "a number of processes, 'ray' or 'ray://host:port', got 'many'"),
        ("1.5", "got '1.5'"),
        (True, "got 'True'"),
        ("", "got ''"),
        ("rays", "got 'rays'"),
        ("ray:head", "got 'ray:head'"),
        ("ray://", "got 'ray://'"),
        ("http://head:10001", "got 'http"),
        ("ray://head/path", "got 'ray://head/path'"),
        ("ray://head:port", "'ray://head:port' is no address: Port"),
        ("ray?gpu=1", "no setting 'gpu'; did you mean 'gpus'"),
        ("ray?gpus=half", "'gpus' of jobs must be from 0 to 1, or a whole number, got 'half'"),
        ("ray?gpus=-1", "got '-1'"),
        ("ray?gpus=1.5", "got '1.5'"),
        ("ray?gpus=inf", "got 'inf'"),
        ("ray?cpus=0", "'cpus' of jobs must be above 0 and at most 1, or a whole number, got '0'"),
        ("ray?cpus=", "got ''"),
    ],
)
def test_what_is_no_place_is_refused(jobs, sentence):
    with pytest.raises(ConfigError) as caught:
        parse_jobs(jobs)
    assert sentence in str(caught.value)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs Ray, which is not installed; run: pip install 'instar\[ray\]'"):
        run_all([], "ray")
    assert run_all([lambda: 1], 1) == [1]


@pytest.mark.parametrize("form", ["ray://127.0.0.1:{}", "127.0.0.1:{}"])
def test_an_address_where_nobody_listens_is_refused_soon(form, monkeypatch):
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", form.format(port))
    started = time.monotonic()
    with pytest.raises(ConfigError, match=rf"nothing answers at the Ray address '.*127.0.0.1:{port}': .* refused"):
        run_all([lambda: 1], "ray")
    assert time.monotonic() - started < 15


def test_an_address_where_something_else_listens_is_refused_soon(monkeypatch):
    pytest.importorskip("ray.util.client.worker", reason="Ray's client is not installed")
    monkeypatch.setattr("ray.util.client.worker.INITIAL_TIMEOUT_SEC", 1)
    monkeypatch.setattr("ray.util.client.worker.MAX_TIMEOUT_SEC", 1)
    with create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=rf"Ray at '{address}' cannot be used: ray client connection timeout\."):
            run_all([lambda: 1], address)
