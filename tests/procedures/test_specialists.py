"""From a generalist to one student: clusters, specialists, their combination, and what it is worth."""

import json
import math
import shutil

import pytest
import torch
from tests.older import as_older
from torch import nn

import instar
from instar.errors import ConfigError, InstarError, MismatchError, RunError
from instar.models import MLP
from instar.procedures import specialists
from instar.procedures.specialists import Clusters
from instar.procedures.specialists.combining import folders_in
from instar.runs.files import read_json, read_tensors, write_json, write_tensors
from instar.runs.run import Run
from instar.teachers import Specialists, as_teacher
from instar.training import predict

SETS = Clusters((("3", "8", "9"), ("1", "8", "4")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A generalist, two sets of two specialists, and what each set is together with it."""
    folder = tmp_path_factory.mktemp("specialists")
    instar.train("digits", MLP([32]), out=folder / "generalist", epochs=12, learning_rate=0.003)
    for way in ("dustbin", "full"):
        runs = specialists.train(
            folder / "generalist", SETS, out=folder / way, way=way, epochs=6, learning_rate=0.003, show=False
        )
        specialists.combine(folder / "generalist", runs, out=folder / f"{way}-combined")
    return folder


@pytest.mark.parametrize(("way", "width"), [("dustbin", 4), ("full", 10)])
def test_each_specialist_is_a_run_of_its_classes_that_starts_from_the_generalist(folder, way, width):
    for number, names in enumerate(SETS.sets):
        run = Run(folder / way / f"specialist-{number:02}")
        assert run.complete
        assert len(run.classes) == width
        assert tuple(run.config["data"]["special_classes"]) == names
        assert run.config["start"] == str(folder / "generalist")
        assert run.config["training"]["patience"] == 3
        assert run.config["correct_prior"]
    assert Clusters.read(folder / way / "clusters.json") == SETS


def test_specialists_know_their_classes_better_than_the_generalist(folder):
    found = specialists.evaluate(folder / "dustbin-combined")
    assert found.conditional[1] > found.conditional[0]


def test_a_combination_is_a_teacher_wherever_one_can_stand(folder, tmp_path):
    combined = folder / "dustbin-combined"
    assert isinstance(as_teacher(combined), Specialists)
    assert instar.evaluate(combined)["errors"] == Run(combined).metrics["errors"]
    store = instar.label("digits", combined, out=tmp_path / "targets")
    for teacher in (combined, store):
        student = instar.distill("digits", teacher, MLP([16]), out=tmp_path / f"of-{type(teacher).__name__}", epochs=2)
        assert 0 < student.metrics["agreement"] <= 1
    both = instar.Ensemble([combined, folder / "generalist"])
    assert torch.isfinite(predict(both, instar.load_data("digits").test)).all()


def test_the_predictions_are_those_of_the_teacher_that_it_makes(folder):
    tensors, _ = read_tensors(folder / "full-combined" / "predictions.safetensors")
    found = predict(as_teacher(folder / "full-combined"), instar.load_data("digits").test)
    assert torch.equal(found, tensors["test.logits"])


def test_a_combination_that_was_moved_with_its_members_is_found(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    as_older(tmp_path / "moved" / "dustbin-combined")  # which may name any path
    config = json.loads((tmp_path / "moved" / "dustbin-combined" / "config.json").read_text())
    flat = tmp_path / "flat"
    flat.mkdir()
    for given in config["config"]["teachers"]:
        name = given.rsplit("/", 1)[1]
        source = tmp_path / "moved" / ("generalist" if name == "generalist" else f"dustbin/{name}")
        shutil.copytree(source, flat / name)
    shutil.copytree(tmp_path / "moved" / "dustbin-combined", flat / "combined")
    config["config"]["teachers"] = [given.replace(str(folder), "/gone") for given in config["config"]["teachers"]]
    (flat / "combined" / "config.json").write_text(json.dumps(config))
    assert specialists.evaluate(flat / "combined") == specialists.evaluate(folder / "dustbin-combined")
    assert as_teacher(flat / "combined").fingerprint() == as_teacher(folder / "dustbin-combined").fingerprint()


def test_the_tables_count_what_the_predictions_say(folder):
    found = specialists.evaluate(folder / "dustbin-combined")
    tensors = {
        name: read_tensors(folder / name / "predictions.safetensors")[0] for name in ("generalist", "dustbin-combined")
    }
    labels = tensors["generalist"]["test.labels"]
    before, after = (tensors[name]["test.logits"].argmax(1) for name in ("generalist", "dustbin-combined"))
    names = [str(digit) for digit in range(10)]
    rows = {row.specialists: row for row in found.covered}
    for number in range(3):
        chosen = [
            i
            for i, label in enumerate(labels.tolist())
            if sum(names[label] in classes for classes in SETS.sets) == number
        ]
        row = rows[number]
        assert row.samples == len(chosen)
        assert row.generalist == int((before == labels)[chosen].sum())
        assert row.combined == int((after == labels)[chosen].sum())
        assert row.gain == row.combined - row.generalist
    assert found.overall[1] == pytest.approx((after == labels).double().mean().item())
    right = total = 0
    for classes in SETS.sets:
        index = torch.tensor([names.index(name) for name in classes])
        chosen = torch.isin(labels, index)
        answers = index[tensors["dustbin-combined"]["test.logits"][chosen][:, index].argmax(1)]
        right, total = right + int((answers == labels[chosen]).sum()), total + int(chosen.sum())
    assert found.conditional[1] == pytest.approx(right / total)
    assert "accuracy within their classes" in str(found)
    assert json.loads(json.dumps(found.as_dict()))["covered"][1]["relative_gain"] == rows[1].relative_gain


def test_running_again_trains_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    specialists.train(folder / "generalist", SETS, out=folder / "dustbin", epochs=6, learning_rate=0.003, show=False)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before


def test_numbered_clusters_are_found_once_and_kept(folder, tmp_path):
    choices = {"clusters": 2, "out": tmp_path / "some", "size": 3}
    first = specialists.plan(folder / "generalist", **choices)
    assert [len(names) for names in first.clusters.sets] == [3, 3]
    (tmp_path / "some").mkdir()
    SETS.write(tmp_path / "some" / "clusters.json")
    assert specialists.plan(folder / "generalist", **choices).clusters == SETS


def test_clusters_from_a_store_are_those_of_its_teacher(folder, tmp_path):
    data = instar.load_data("digits")
    whole = instar.label(data, folder / "generalist", out=tmp_path / "whole", dtype="float32")
    few = instar.label(data, folder / "generalist", out=tmp_path / "few", keep="top:9", dtype="float32")
    expected = specialists.cluster(folder / "generalist", clusters=3)
    assert specialists.cluster(whole, data, clusters=3) == expected
    assert specialists.cluster(few, data, clusters=3) == expected


def test_clusters_print_their_names(folder):
    text = str(specialists.cluster(folder / "generalist", clusters=2, streaming=True))
    assert text.endswith("10 classes are in 2 clusters.")
    assert "classes: 0" in text


@pytest.mark.parametrize("content", ["{}", "[]x", '[["a"], 3]', "[[]]", "[[1]]"])
def test_a_file_of_clusters_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "clusters.json").write_text(content)
    with pytest.raises(InstarError, match=r"clusters\.json"):
        Clusters.read(tmp_path / "clusters.json")


def test_a_missing_file_of_clusters_is_a_sentence(tmp_path):
    with pytest.raises(RunError, match=r"none.json' is missing"):
        Clusters.read(tmp_path / "none.json")


def test_a_cluster_of_an_unknown_class_is_refused_before_anything_is_trained(folder, tmp_path):
    with pytest.raises(MismatchError, match="cluster 1 names the class '11', which the generalist"):
        specialists.train(folder / "generalist", Clusters((("1", "2"), ("11",))), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_way_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match="way 'dustbn' is unknown; did you mean 'dustbin'"):
        specialists.train(folder / "generalist", SETS, out=tmp_path / "out", way="dustbn")


def make_network(num_classes: int) -> nn.Module:
    """A network that its class and arguments do not make again."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_classes))


def test_specialists_of_a_network_that_its_folder_does_not_describe_take_it(tmp_path):
    generalist = instar.train("digits", make_network(10), out=tmp_path / "generalist", epochs=2, learning_rate=0.01)
    choices = {"epochs": 1, "show": False, "trust": True}
    for way, network in (("full", make_network(10)), ("dustbin", f"{__name__}:make_network")):
        with pytest.raises(InstarError, match="does not build it again; give network="):
            specialists.train(generalist.path, SETS, out=tmp_path / way, way=way, **choices)
        runs = specialists.train(generalist.path, SETS, out=tmp_path / way, way=way, network=network, **choices)
        assert [len(run.classes) for run in runs] == [len(names) + 1 if way == "dustbin" else 10 for names in SETS.sets]
        again = specialists.train(generalist.path, SETS, out=tmp_path / way, way=way, network=network, **choices)
        assert [run.path for run in again] == [run.path for run in runs]
        together = tmp_path / f"{way}-combined"
        combined = specialists.combine(generalist.path, runs, out=together, network=make_network(10), trust=True)
        assert combined.complete
    with pytest.raises(ConfigError, match="way 'dustbin' gives each specialist a last layer of its own size, which a"):
        specialists.train(generalist.path, SETS, out=tmp_path / "no", network=make_network(10), **choices)
    assert not (tmp_path / "no").exists()


def test_a_specialist_of_other_classes_than_the_generalist_is_refused(folder, tmp_path):
    other = instar.load_data((torch.rand(90, 1, 8, 8), torch.arange(90) % 3))
    instar.train(other, MLP([32]), out=tmp_path / "three", epochs=1)
    with pytest.raises(MismatchError, match=r"has class '3', and the generalist .* does not"):
        specialists.combine(tmp_path / "three", [folder / "dustbin" / "specialist-00"], other, out=tmp_path / "out")


def test_a_run_that_is_no_specialist_is_refused(folder, tmp_path):
    with pytest.raises(MismatchError, match="was trained on all classes equally, so it is no specialist"):
        specialists.combine(folder / "generalist", [folder / "generalist"], out=tmp_path / "out")


def test_what_is_no_combination_is_not_evaluated_as_one(folder):
    with pytest.raises(
        MismatchError, match="is not a generalist with specialists; give a folder of specialists combine"
    ):
        specialists.evaluate(folder / "generalist")


def test_specialists_that_failed_are_named_and_may_be_left_out(folder, tmp_path):
    broken = tmp_path / "specialist-01"
    shutil.copytree(folder / "dustbin" / "specialist-01", broken)
    (broken / "result.json").unlink()
    given = [folder / "dustbin" / "specialist-00", broken, tmp_path / "never"]
    with pytest.raises(RunError, match=f"not complete: '{broken}', '{tmp_path / 'never'}'; run their commands again"):
        specialists.combine(folder / "generalist", given, out=tmp_path / "out")
    run = specialists.combine(
        folder / "generalist", given, weights=[1.0, 2.0, 3.0], out=tmp_path / "out", allow_missing=True
    )
    assert run.result["missing"] == [str(broken), str(tmp_path / "never")]
    assert run.config["model"]["arguments"]["weights"] == [1.0]
    assert len(as_teacher(run).specialists) == 1


def test_a_specialist_that_fails_does_not_stop_the_others(folder, tmp_path):
    """The first folder is somebody else's, so that its run cannot start."""
    (tmp_path / "out" / "specialist-00").mkdir(parents=True)
    (tmp_path / "out" / "specialist-00" / "letter.txt").write_text("mine")
    with pytest.raises(RunError, match=r"specialist-00' exists and is not a run folder"):
        specialists.train(folder / "generalist", SETS, out=tmp_path / "out", epochs=1, show=False)
    assert Run(tmp_path / "out" / "specialist-01").complete
    found = folders_in([tmp_path / "out"])
    assert [path.name for path in found] == ["specialist-00", "specialist-01"]
    run = specialists.combine(folder / "generalist", found, out=tmp_path / "combined", allow_missing=True)
    assert run.result["missing"] == [str(tmp_path / "out" / "specialist-00")]


def test_weights_are_one_per_specialist(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"weights must be one per specialist \(1\), got 2"):
        specialists.combine(
            folder / "generalist",
            [folder / "dustbin" / "specialist-00"],
            weights=[1.0, 1.0],
            out=tmp_path / "out",
        )


def test_the_prior_is_corrected_in_the_weights(folder, tmp_path):
    """A specialist whose correction is taken back has the bias that its training left."""
    run = Run(folder / "dustbin" / "specialist-00")
    data = instar.load_data("digits", special_classes=list(SETS.sets[0]), rest="dustbin")
    special = int(data.train.special.sum())
    offset = math.log((len(data.train) - special) / special)
    tensors, header = read_tensors(run.weights)
    tensors[_last_bias(tensors)][-1] -= offset
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    write_tensors(copy / "weights.safetensors", tensors, header)
    result = read_json(copy / "result.json")
    result["files"].pop("weights.safetensors")  # they are not those that the run ended with
    write_json(copy / "result.json", result)
    with_prior, without = (predict(as_teacher(path), data.test) for path in (run.path, copy))
    torch.testing.assert_close(with_prior - without, torch.tensor([0.0, 0, 0, offset]).expand_as(without))


def _last_bias(tensors):
    return [name for name in tensors if name.endswith(".bias")][-1]
