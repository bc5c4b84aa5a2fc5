"""The model card has the measured numbers, and names from the data are plain text in it."""

import json
import re

import pytest
import yaml
from scipy.stats import binomtest, sem, t

from instar.config import DataConfig
from instar.data import Data, Samples, Source, load_data
from instar.models import MLP
from instar.procedures.distill import distill
from instar.procedures.export import export
from instar.procedures.train import train
from instar.runs.files import read_tensors

NAMES = ("<script>alert(1)</script>", "[link](http://x.y)", "line\n# heading", "a|b", *"456789")


def named(samples):
    return Samples.all_of(Source("digits", samples.source.inputs, samples.source.labels, NAMES))


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    digits = load_data("digits")
    data = Data(DataConfig(source="arrays"), named(digits.train), None, named(digits.test))
    teacher = train(data, MLP([24]), out=folder / "a*teacher*", epochs=2, learning_rate=0.01)
    run = distill(
        data,
        teacher,
        MLP([8]),
        out=folder / "run",
        objective="SoftTargets(4)",
        epochs=2,
        learning_rate=0.01,
        seed=3,
    )
    run.path = run.path.rename(folder / "<i>run\nsecond")  # where no verb would make it
    written = export(run, "hub", out=folder / "hub", data=data)
    return run, folder / "hub", (folder / "hub" / "README.md").read_text(), written


def test_the_front_matter_has_the_scores_with_their_intervals(card):
    run, _, text, _ = card
    _, front, _ = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["pipeline_tag"] == "image-classification"
    assert "knowledge-distillation" in found["tags"]
    metrics = {r["metrics"][0]["type"]: r["metrics"][0] for r in found["model-index"][0]["results"]}
    errors, samples = run.metrics["errors"], run.metrics["samples"]
    expected = binomtest(errors, samples).proportion_ci(0.95, "wilson")
    assert metrics["error"]["value"] == errors / samples
    assert metrics["error"]["args"]["interval_95"] == pytest.approx([expected.low, expected.high])
    tensors, _ = read_tensors(run.path / "predictions.safetensors")
    logits, labels = tensors["test.logits"].double(), tensors["test.labels"]
    nll = (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).numpy()
    bounds = t.interval(0.95, len(nll) - 1, nll.mean(), sem(nll))
    assert metrics["nll"]["args"]["interval_95"] == pytest.approx(bounds)
    same = round(run.metrics["agreement"] * samples)
    agreed = binomtest(same, samples).proportion_ci(0.95, "wilson")
    assert metrics["agreement"]["args"]["interval_95"] == pytest.approx([agreed.low, agreed.high])


def test_the_card_says_what_the_model_was_made_from(card):
    run, _, text, _ = card
    plain = re.sub(r"\\([^\w\s])", r"\1", text)
    for wanted in (
        "SoftTargets(4)",
        "seed: 3",
        run.fingerprints["data"]["train"],
        "instar.load(",
        "torch 2",
    ):
        assert wanted in plain


def test_names_and_paths_are_text(card):
    run, folder, text, _ = card
    _, _, body = text.split("---\n", 2)
    assert "<" not in re.sub(r"\\.", "", body)
    assert not re.search(r"(?<!\\)\]\(", body)
    assert "http://" not in body
    headings = [line for line in body.split("\n") if line.startswith("#")]
    assert [line.split()[0] for line in headings] == ["#"] + ["##"] * 5
    assert r"\# heading" in body
    config = json.loads((folder / "config.json").read_text())
    assert tuple(config["id2label"][str(index)] for index in range(10)) == NAMES == tuple(run.classes)
