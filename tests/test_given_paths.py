"""Paths that no file system takes, and exports where runs are needed: one sentence from every verb."""

import shutil
from pathlib import Path

import pytest

import instar
from instar import models
from instar.errors import InstarError
from instar.procedures.inspect import inspect
from instar.procedures.specialists import Clusters
from instar.runs.locks import remove_left_over, whole

IMPOSSIBLE = ("", " ", "runs/a\0b", "x" * 256, "a/" * 2048, "é" * 128)

VERBS = {
    "Run": lambda path, _: instar.Run(path),
    "TargetStore": lambda path, _: instar.TargetStore(path),
    "load": lambda path, _: instar.load(path),
    "evaluate": lambda path, _: instar.evaluate(path),
    "evaluate teacher": lambda path, run: instar.evaluate(run, teacher=path),
    "evaluate data": lambda path, run: instar.evaluate(run, path),
    "inspect": lambda path, _: inspect(path),
    "report": lambda path, _: instar.report(path),
    "report several": lambda path, run: instar.report([run.path, path]),
    "report out": lambda path, run: instar.report(run.path, path),
    "compare": lambda path, run: instar.compare(run, path),
    "export": lambda path, _: instar.export(path, "safetensors"),
    "export out": lambda path, run: instar.export(run, "safetensors", out=path),
    "predict": lambda path, _: instar.predict(path, "a.png"),
    "predict inputs": lambda path, run: instar.predict(run, path),
    "ensemble": lambda path, run: instar.ensemble([run, path], out=run.path.parent / "no"),
    "ensemble out": lambda path, run: instar.ensemble([run, run], out=path),
    "correct_bias": lambda path, run: instar.correct_bias(path, ["3"], out=run.path.parent / "no"),
    "distill": lambda path, run: instar.distill("digits", path, "mlp", out=run.path.parent / "no"),
    "distill several": lambda path, run: instar.distill("digits", [run.path, path], "mlp", out=run.path.parent / "no"),
    "distill targets": lambda path, run: instar.distill(
        "digits", run, models.MLP([2]), out=run.path.parent / "no", targets=path, num_views=1
    ),
    "label": lambda path, run: instar.label("digits", path, out=run.path.parent / "no"),
    "label out": lambda path, run: instar.label("digits", run, out=path, show=False),
    "train data": lambda path, run: instar.train(path, "mlp", out=run.path.parent / "no"),
    "train start": lambda path, run: instar.train(
        "digits", models.MLP([2]), out=run.path.parent / "no", start=path or " ", epochs=1
    ),
    "tune": lambda path, run: instar.tune("digits", path, models.MLP([2]), out=run.path.parent / "no"),
    "targets_info": lambda path, _: instar.targets_info(path),
    "verify_targets": lambda path, _: instar.verify_targets(path),
    "merge_targets": lambda path, run: instar.merge_targets([path], out=run.path.parent / "no"),
    "specialists.cluster": lambda path, _: instar.specialists.cluster(path, clusters=2),
    "specialists.train": lambda path, run: instar.specialists.train(path, 2, out=run.path.parent / "no"),
    "specialists.combine": lambda path, run: instar.specialists.combine(run, [path], out=run.path.parent / "no"),
    "specialists.evaluate": lambda path, _: instar.specialists.evaluate(path),
    "Clusters.read": lambda path, _: Clusters.read(path),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return instar.train("digits", models.MLP([2]), out=tmp_path_factory.mktemp("paths") / "run", epochs=1)


@pytest.mark.parametrize("verb", VERBS)
def test_a_path_that_no_file_system_takes_is_refused_in_a_sentence(run, verb):
    for path in IMPOSSIBLE:
        with pytest.raises(InstarError):
            VERBS[verb](path, run)
        assert not (run.path.parent / "no").exists()


@pytest.mark.parametrize("to", ["safetensors", "hub", "onnx"])
def test_an_export_given_as_a_run_is_called_one(run, tmp_path, to):
    if to == "onnx":
        pytest.importorskip("onnx")
    path = Path(instar.export(run, to, out=tmp_path / f"model.{to}").path)
    calls = ("Run", "evaluate", "evaluate teacher", "export", "distill", "label", "specialists.cluster")
    for call in calls:
        with pytest.raises(InstarError, match=r"instar\.load\(\.\.\.\)"):
            VERBS[call](path, run)


@pytest.mark.parametrize("length", [200, 201, 240, 255])
def test_a_long_name_is_written_whole(tmp_path, length):
    path = tmp_path / ("n" * length)
    with whole(path) as temporary:
        temporary.write_text("there")
        remove_left_over(tmp_path, path.name)  # it is held
        assert not path.exists()
    assert path.read_text() == "there"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_left_of_a_long_name_is_removed(tmp_path):
    name = "é" * 120
    killed = whole(tmp_path / name)
    begun = killed.__enter__().parent
    with whole(tmp_path / ("n" * 240)) as other:
        other.write_text("of another name")
        assert begun.exists()
    copy = begun.with_name(begun.name[:-8] + "x.partial")
    shutil.copytree(begun, copy)
    remove_left_over(tmp_path, name)
    assert begun.exists()
    assert not copy.exists()
