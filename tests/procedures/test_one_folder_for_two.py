"""Verbs that make several runs in a folder, given twice at once: they share the runs, and both end with the result."""

import json
from pathlib import Path

import pytest
from tests.chaos.harness import cli, made, start
from tests.chaos.kills import words

from instar.errors import ConfigError, RunError
from instar.procedures.specialists import Clusters
from instar.procedures.specialists import train as train_specialists


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    made(*words("train", folder, folder / "teacher"))
    return folder


@pytest.mark.parametrize("verb", ["tune", "born-again", "specialists train"])
def test_two_commands_share_the_runs_of_a_folder(verb: str, base: Path, tmp_path: Path) -> None:
    given = words(verb, base, tmp_path / "out")
    children = [start(cli(*given, "--json")) for _ in range(2)]
    one, two = (child.wait() for child in children)
    assert (one.code, two.code) == (0, 0), one.err + two.err
    assert [*map(json.loads, one.out.splitlines())] == [*map(json.loads, two.out.splitlines())]
    assert not list(tmp_path.rglob("*.partial"))


def test_specialists_of_other_clusters_are_refused_and_theirs_stay(base: Path, tmp_path: Path) -> None:
    first, other = Clusters((("1", "2"), ("3", "4"))), Clusters((("5", "6"), ("7", "8")))
    train_specialists(base / "teacher", first, out=tmp_path, epochs=1, show=False)
    with pytest.raises((ConfigError, RunError), match="other clusters"):
        train_specialists(base / "teacher", other, out=tmp_path, epochs=1, show=False)
    assert Clusters.read(tmp_path / "clusters.json") == first
