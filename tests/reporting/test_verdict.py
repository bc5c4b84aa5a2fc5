"""Whether distillation helped, as the report says it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

import instar
from instar.reporting import compare_groups
from instar.reporting.html import render
from instar.reporting.runs import Runs
from instar.reporting.similarity import lost_similarity, mean_soft_targets
from instar.reporting.verdict import Verdict, judge_comparison
from instar.runs.files import read_json, read_tensors, write_json, write_tensors
from instar.runs.rows import collect


def verdict(root: Path) -> Verdict:
    """Return the one verdict on the students of a folder."""
    runs = Runs(collect(root))
    (comparison,) = compare_groups(runs.groups)
    return judge_comparison(comparison, runs)


@pytest.fixture
def pair(trained: Path, tmp_path: Path) -> Path:
    """Return a folder with a teacher, its student and the one from labels, of one seed."""
    for name in ("teacher", "student-0", "labels-0"):
        shutil.copytree(trained / name, tmp_path / name)
    return tmp_path


def write_predictions(folder: Path, wrong: int) -> None:
    """Write the predictions of a run that is wrong on its first samples, and the result that goes with them."""
    path = folder / "predictions.safetensors"
    tensors, _ = read_tensors(path)
    labels = tensors["test.labels"].clone()
    labels[:wrong] = (labels[:wrong] + 1) % 10
    write_tensors(path, tensors | {"test.logits": 9 * torch.eye(10)[labels]})
    result = read_json(folder / "result.json")
    result["metrics"] |= {"errors": wrong, "error": wrong / len(labels)}
    del result["files"][path.name]  # they are not those that the run ended with
    write_json(folder / "result.json", result)


@pytest.mark.parametrize(
    ("distilled", "labels", "word"),
    [
        (0, 9, "Distillation helped in these two trainings."),
        (9, 0, "Distillation hurt in these two trainings."),
        (4, 9, "Whether distillation helped in these two trainings is not settled."),
        (5, 5, "Whether distillation helped in these two trainings is not settled."),
    ],
)
def test_one_seed_is_judged_over_the_samples(pair: Path, distilled: int, labels: int, word: str) -> None:
    write_predictions(pair / "student-0", distilled)
    write_predictions(pair / "labels-0", labels)
    found = verdict(pair)
    alone, missed = max(0, labels - distilled), max(0, distilled - labels)
    p = binomtest(alone, alone + missed).pvalue if alone + missed else 1.0
    assert found.headline == word
    assert (p < 0.05) == ("not settled" not in word)
    told = f"On {alone} test samples only the distilled student is right, and on {missed} only the student trained on "
    assert found.sentences[1].startswith(told)
    assert f"p {p:.3f})" in found.sentences[1]


def test_several_seeds_are_judged_over_the_seeds(trained: Path) -> None:
    found = verdict(trained)
    assert found.headline in (
        "Distillation helped.",
        "Distillation hurt.",
        "Whether distillation helped is not settled.",
    )
    assert found.sentences[0].startswith("Over 2 shared seeds, student-* makes ")
    assert ("do not settle" in found.sentences[0]) == ("not settled" in found.headline)


def test_kept_similarities_are_those_of_numpy(pair: Path) -> None:
    kept, student, labels = (
        {name: tensor.numpy() for name, tensor in read_tensors(pair / path)[0].items()}
        for path in (
            "student-0/examples.safetensors",
            "student-0/predictions.safetensors",
            "labels-0/predictions.safetensors",
        )
    )
    teacher = kept["shown.logits"].astype(float)
    wanted = mean_soft_targets(teacher, kept["shown.labels"], 10, 4)
    said = []
    for one in (student, labels):
        places = [one["test.ids"].tolist().index(number) for number in kept["shown.ids"].tolist()]
        logits = one["test.logits"][places].astype(float)
        said.append(
            (
                lost_similarity(wanted, mean_soft_targets(logits, kept["shown.labels"], 10, 4)),
                logits.argmax(1) == teacher.argmax(1),
            )
        )
    (gone, same), (gone_labels, same_labels) = said
    told = verdict(pair).sentences[-1]
    assert f"student-0 keeps {100 - 100 * gone:.1f}% of the teacher's class similarities" in told
    assert f"and labels-0 keeps {100 - 100 * gone_labels:.1f}%" in told
    assert (
        f"agrees with the teacher on {100 * same.mean():.1f}% and labels-0 on {100 * same_labels.mean():.1f}%" in told
    )
    assert gone < gone_labels


def test_without_recorded_examples_there_is_no_reason(pair: Path) -> None:
    (pair / "student-0" / "examples.safetensors").unlink()
    assert len(verdict(pair).sentences) == 2


def test_without_predictions_one_seed_settles_nothing(pair: Path) -> None:
    for name in ("student-0", "labels-0"):
        (pair / name / "predictions.safetensors").unlink()
    assert verdict(pair).headline == "Whether distillation helped in these two trainings is not settled."
    assert len(verdict(pair).sentences) == 1


def test_two_classes_have_no_similarities_to_keep(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    data = instar.load_data((generator.normal(size=(80, 3)).astype(np.float32), np.arange(80) % 2), test=0.25)
    model = instar.models.MLP([4])
    teacher = instar.train(data, model, epochs=1, out=tmp_path / "teacher")
    instar.distill(data, teacher, model, epochs=1, out=tmp_path / "student-0")
    assert verdict(tmp_path).sentences[-1].startswith("On the recorded samples student-0 agrees with the teacher on ")
    page = render(collect(tmp_path), "Two")
    assert "student-0 beside its teacher at T = 4" in page
    assert "class similarities at" not in page
