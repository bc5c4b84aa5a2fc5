"""`instar compare` on real trainings."""

import json
import shutil
from pathlib import Path

import pytest

from instar.models import MLP
from instar.procedures.train import train
from instar.runs.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds each of a net of 2 units and one of 32."""
    folder = tmp_path_factory.mktemp("compare")
    for width in (2, 32):
        for seed in (0, 1):
            train("digits", MLP([width]), out=folder / f"w{width}/{seed}", seed=seed, epochs=6, learning_rate=0.01)
    for width in (2, 32):
        shutil.copytree(folder / f"w{width}" / "1", folder / "mixed" / str(width))
    return folder


@pytest.fixture(autouse=True)
def _inside(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)


def test_two_trainings_are_compared(instar) -> None:
    code, out, err = instar("compare", "w2/0", "w32/0")
    assert code == 0, err
    results = [Run(name).metrics for name in ("w2/0", "w32/0")]
    assert "B makes fewer errors than A on these 597 samples with these weights" in out
    assert "there is only one seed" in " ".join(out.split())
    assert f"{100 * results[0]['error']:.2f}" in out
    assert max(map(len, out.splitlines())) <= 100

    code, out, err = instar("compare", "w2/0", "w32/0", "--json", "--resamples", 2000, "--seed", 3)
    assert code == 0, err
    found = json.loads(out)
    (comparison,) = found["comparisons"]
    assert (found["methods"], found["seeds"], found["resamples"]) == (["w2/0", "w32/0"], [[0], [0]], 2000)
    for place, side in enumerate(("reference", "method")):
        assert comparison["error"][side] == pytest.approx(100 * results[place]["error"])
        assert comparison["nll"][side] == pytest.approx(results[place]["nll"])
    difference = comparison["error"]["over_samples"]
    assert difference["low"] < difference["mean"] < difference["high"] < 0
    assert difference["corrected"]["mcnemar"] < 1e-6
    assert (comparison["error"]["over_seeds"], comparison["pairs"]) == (None, {})
    assert any("there is only one seed" in sentence for sentence in comparison["conclusions"])
    assert list(comparison["others"]) == ["balanced_error", "macro_f1", "average_precision"]
    for name, quantity in comparison["others"].items():
        values = [quantity["reference"], quantity["method"]]
        assert values == pytest.approx([100 * result[name] for result in results], abs=1e-3)
        found = quantity["over_samples"]
        assert found["mean"] == pytest.approx(values[1] - values[0])
        assert found["low"] < found["mean"] < found["high"]
        assert (found["better"], found["worse"]) == (None, None)


def test_folders_of_seeds_are_paired(instar) -> None:
    code, out, err = instar("compare", "w2", "w32")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[:2] == ["A  w2: seeds 0, 1, the reference", "B  w32: seeds 0, 1"]
    assert sum("2 seeds" in line for line in lines[3:14]) == 5
    assert [line.split("(")[0].strip() for line in lines[8:14:2]] == ["balanced error", "macro f1", "average precision"]
    found = json.loads(instar("compare", "w2", "w32", "--json")[1])["comparisons"][0]
    assert set(found["pairs"]) == {"0", "1"}
    assert found["error"]["over_seeds"]["p"]["sign"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["w2/0"], "compare needs at least two methods, got 1."),
        (["w2", "nowhere"], "'nowhere' is not a folder; give a folder that contains runs."),
        (["w2/0", "mixed"], "'mixed/2' and 'mixed/32' differ in model.arguments.widths."),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(instar, arguments: list[str], sentence: str) -> None:
    code, out, err = instar("compare", *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("instar: ")
    assert err.count("\n") == 1
