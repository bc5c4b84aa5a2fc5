"""An encoder distilled into students that read words, with a tiny encoder and texts that the tests make."""

import csv
import random
import sys
from pathlib import Path

import pytest
from tests.models.tiny_texts import WORDS, write_classifier

import instar
from instar.errors import ConfigError
from instar.models import MODELS
from instar.papers import run_paper
from instar.papers.table import Order
from instar.papers.tang2019_rotten_tomatoes import ARMS, SCALES, TextPlan, find_encoder
from instar.papers.transfer_texts import TextRules
from instar.runs.run import Run

pytest.importorskip("transformers", reason="needs the extra transformers")
NAME = "tang2019-rotten_tomatoes"
MINILM_WEIGHTS = 22_713_986
STUDENTS = ("bag", "text-lstm", "text-transformer")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("films"), random.Random(0)
    for split, count in (("train", 120), ("validation", 40), ("test", 40)):
        with (folder / f"{split}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "label"])
            for number in range(count):
                words = [*draw.choices(WORDS[:10], k=6), "good" if number % 2 else "bad"]
                rows.writerow([" ".join(words), "positive" if number % 2 else "negative"])
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, data: Path, encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("table")
    run_paper(NAME, scale="smoke", data=str(data), encoder=str(encoder), out=folder)
    return folder


@pytest.fixture(scope="module")
def plan(folder: Path, data: Path, encoder: Path) -> TextPlan:
    order = Order("smoke", str(data), folder / "runs", None, 1, print, encoder=str(encoder))
    return TextPlan(order, SCALES["smoke"])


def test_the_table_has_each_student_in_each_arm_with_a_gain(rows: dict) -> None:
    arms_of = dict.fromkeys(STUDENTS, ("labels", "soft")) | {"bag": (*ARMS,)}
    for student, arms in arms_of.items():
        for arm in arms:
            accuracies = rows[f"{student}: {ARMS[arm]}", "test accuracy"]["seeds"]
            assert len(accuracies) == 2
            assert all(0 <= accuracy <= 100 for accuracy in accuracies)
        for arm in {"soft", "soft-new"} & {*arms}:
            gain = rows[f"{student}: {ARMS[arm]}, over labels", "gain"]
            ours, labels = (rows[f"{student}: {ARMS[each]}", "test accuracy"]["seeds"] for each in (arm, "labels"))
            assert gain["seeds"] == pytest.approx([a - b for a, b in zip(ours, labels, strict=True)])
            assert len(gain["settings"]["interval"]) == 2
    assert rows["text-lstm: labels", "test accuracy"]["published"] == 86.7
    assert rows["bag: labels", "test accuracy"]["published"] is None


def test_arms_differ_in_what_they_learn_from(plan: TextPlan) -> None:
    student = plan.size.students[0]
    for arm in ARMS:
        run = Run(plan.folder(student, arm, 0))
        assert bool(run.config["teachers"]) == arm.startswith("soft")
        assert ("HardLabels" in run.config["objective"]) == arm.startswith("labels")
        assert (run.config["data"]["source"] == "arrays") == arm.endswith("-new")
    seeds = [{Run(plan.folder(student, arm, seed)).config["seed"] for arm in ARMS} for seed in (0, 1)]
    assert seeds == [{0}, {1}]


def test_new_texts_are_for_training_alone_and_have_the_labels_of_their_origin(plan: TextPlan) -> None:
    old, new = plan.data, plan.data_with_new_texts
    for split in ("validation", "test"):
        texts = [data.split(split).source.texts("text").strings() for data in (old, new)]
        assert texts[0] == texts[1]
        assert old.split(split).labels.tolist() == new.split(split).labels.tolist()
    assert len(old.train) < len(new.train) <= 2 * len(old.train)
    texts, labels = new.train.source.texts("text").strings(), new.train.labels.tolist()
    assert labels[: len(old.train)] == old.train.labels.tolist()
    rules = TextRules(1, mask=0, replace=0, ngram=1)
    for index, text in rules.apply(texts, seed=1):
        assert f" {text} " in f" {texts[index]} "


def test_rules_keep_replace_and_cut_words() -> None:
    texts = [" ".join(random.Random(number).choices(WORDS, k=20)) for number in range(200)]
    found = TextRules(3).apply(texts, seed=0)
    assert found == TextRules(3).apply(texts, seed=0) != TextRules(3).apply(texts, seed=1)
    copies = [copy for _, copy in found]
    assert len(set(copies)) == len(copies)
    assert not set(copies) & set(texts)
    cut = sum(len(copy.split()) <= 5 for copy in copies) / len(copies)
    assert 0.15 < cut < 0.3  # a quarter, of which equal ones are left out
    left = TextRules(1, mask=0.3, replace=0, ngram=0).apply(texts, seed=0)
    assert 0.65 < sum(len(copy.split()) for _, copy in left) / (20 * len(left)) < 0.75
    replaced = TextRules(1, mask=0, replace=0.3, ngram=0).apply(texts, seed=0)
    pairs = [pair for index, copy in replaced for pair in zip(copy.split(), texts[index].split(), strict=True)]
    assert 0.65 < sum(one == other for one, other in pairs) / len(pairs) < 0.8


@pytest.mark.parametrize("student", SCALES["paper"].students, ids=STUDENTS)
def test_students_have_at_most_two_percent_of_the_weights(student) -> None:
    words = instar.models.readers.Words(7800).with_knowledge({"words": [f"w{n}" for n in range(7800)]})
    assert student.reader == "Words(7800)"
    network = MODELS[student.model](**student.arguments, num_classes=2, **words.sizes())
    assert sum(weight.numel() for weight in network.parameters()) <= 0.02 * MINILM_WEIGHTS


def test_a_finished_table_is_made_again_without_training(folder: Path, data: Path, encoder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")}
    assert len(before) == 1 + 2 * (len(ARMS) + 2 + 2)
    run_paper(NAME, scale="smoke", data=str(data), encoder=str(encoder), out=folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("weights.safetensors")} == before


def test_the_encoder_of_an_installed_package_is_found_and_a_missing_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instar.papers.tang2019_rotten_tomatoes.ENCODER_PACKAGE", "an-encoder")
    with pytest.raises(ConfigError, match="install the package an-encoder, or name a folder or Hub id"):
        find_encoder()
    (tmp_path / "an_encoder-1.dist-info").mkdir()
    (tmp_path / "an_encoder-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: an-encoder\nVersion: 1\n"
    )
    (tmp_path / "an_encoder-1.dist-info" / "RECORD").write_text("an_encoder/model/model.safetensors,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert find_encoder() == tmp_path / "an_encoder" / "model"


def test_an_encoder_is_refused_where_none_is_fine_tuned() -> None:
    with pytest.raises(ConfigError, match="table 'lopezpaz2016' fine-tunes no encoder; leave encoder out"):
        run_paper("lopezpaz2016", encoder="bert")
