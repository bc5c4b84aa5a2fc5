"""Tables of methods of hidden layers at their smoke scale on embedded data, and the numbers that they quote."""

from pathlib import Path

import pytest
import torch

from instar.config import ModelConfig
from instar.errors import ConfigError
from instar.models import build_network
from instar.objectives.notation import parse_objective
from instar.papers import cifar100_methods, run_paper, yim2017_cifar10, zagoruyko2017_cifar10
from instar.papers.methods_plan import Method
from instar.papers.table import Order
from instar.runs.run import Run

PAIR = "WRN-10-1 from WRN-10-2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("table")
    run_paper("zagoruyko2017-cifar10", scale="smoke", data="digits", out=found)
    return found


def config(folder: Path, name: str, seed: int = 1) -> dict:
    return Run(folder / "runs" / "wrn-10-1" / name / str(seed)).config


def test_each_method_has_its_errors_and_its_paired_gain_over_labels(rows: dict) -> None:
    titles = [
        method.title
        for method in zagoruyko2017_cifar10.make_methods(zagoruyko2017_cifar10.SCALES["smoke"])
        if method.title
    ]
    labels = rows[f"{PAIR}: student from labels", "test error"]["seeds"]
    for title in titles[1:]:
        errors = rows[f"{PAIR}: {title}", "test error"]["seeds"]
        gain = rows[f"{PAIR}: {title}, over labels", "gain"]
        assert gain["seeds"] == pytest.approx([a - b for a, b in zip(labels, errors, strict=True)])
        low, high = gain["settings"]["interval"]
        assert low - 1e-9 <= gain["mean"] <= high + 1e-9  # equal gains have an interval without a width
    assert len(rows) == 2 * len(titles)  # the teacher has a row and no gain, and labels too


def test_students_of_a_seed_are_paired_and_learn_from_its_teacher(folder: Path) -> None:
    taught = [config(folder, f"{name}-of-wrn-10-2") for name in ("at", "f-act", "kd", "at+kd")]
    assert {one["teachers"][0][-len("wrn-10-2/teacher/1") :] for one in taught} == {"wrn-10-2/teacher/1"}
    students = [*taught, *(config(folder, name) for name in ("labels", "smoothing", "longer", "own"))]
    assert {one["seed"] for one in students} == {1001}
    assert config(folder, "own")["teachers"][0].endswith("wrn-10-1/other-labels/1")
    others = {config(folder, "other-labels")["seed"], Run(folder / "runs/wrn-10-2/teacher/1").config["seed"]}
    assert others == {1002, 1000}


def test_a_longer_control_has_its_milestones_at_the_same_shares(folder: Path) -> None:
    labels, longer = (config(folder, name)["training"] for name in ("labels", "longer"))
    assert longer["epochs"] == 2 * labels["epochs"]
    assert longer["milestones"] == pytest.approx([2 * milestone for milestone in labels["milestones"]])
    assert labels["milestones"] == pytest.approx([0.3, 0.6, 0.8])


def test_attention_has_the_weights_of_the_authors_code(folder: Path) -> None:
    assert config(folder, "at-of-wrn-10-2")["objective"] == "HardLabels() + 1000 * AttentionTransfer()"
    objective = parse_objective(config(folder, "at+kd-of-wrn-10-2")["objective"])
    assert objective == parse_objective("0.9*SoftTargets(4) + 0.1*HardLabels() + decay(1000)*AttentionTransfer()")


def test_the_findings_name_every_claim_once(folder: Path) -> None:
    text = (folder / "table.md").read_text()
    for claim in ("AT better than student from labels", "AT better than F-ActT", "AT+KD better than KD"):
        assert text.count(f"{claim}:") == 1


def test_stored_targets_are_refused_because_methods_query_their_teacher_at_each_step(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="targets must be online"):
        run_paper("zagoruyko2017-cifar10", data="digits", out=tmp_path, targets="store")


@pytest.mark.parametrize("paper", [zagoruyko2017_cifar10, yim2017_cifar10, cifar100_methods])
def test_every_net_of_every_scale_can_be_built_and_pairs_can_be_chosen(paper) -> None:
    for scale in paper.SCALES.values():
        for pair in scale.pairs:
            for net in (pair.teacher, pair.student):
                with torch.device("meta"):
                    network = build_network(ModelConfig(**net.model), (3, 32, 32), 100, trust=False)
                assert sum(p.numel() for p in network.parameters()) > 0
        order = Order("paper", "digits", Path("runs"), 1, 1, print, nets=scale.names[:1])
        assert order.chosen(scale.pairs) == scale.pairs[:1]


def test_two_pairs_share_the_student_of_labels_and_no_other() -> None:
    scale = zagoruyko2017_cifar10.SCALES["paper"]
    methods = [Method("labels", "student"), Method("kd", "KD", "SoftTargets(4)", "teacher")]
    order = Order("paper", "digits", Path("runs"), 1, 1, print)
    plan = scale.plan(order, zagoruyko2017_cifar10.RECIPE, methods)
    teachers, students = plan.waves(scale.pairs[:2])
    assert [str(stage.out) for stage in teachers] == ["runs/wrn-16-2/teacher/0", "runs/wrn-40-1/teacher/0"]
    assert [str(stage.out) for stage in students] == [
        "runs/wrn-16-1/labels/0",
        "runs/wrn-16-1/kd-of-wrn-16-2/0",
        "runs/wrn-16-1/kd-of-wrn-40-1/0",
    ]
