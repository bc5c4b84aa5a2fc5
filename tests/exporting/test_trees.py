"""Exports of trees answer as the model does for every row: at thresholds, beside them, and where values are missing."""

import dataclasses
import re
import shutil

import numpy as np
import pandas
import pytest
import torch

import instar
from instar.compute.inputs import list_tensors
from instar.errors import MismatchError
from instar.exporting.student import read_student
from instar.exporting.to_c import write_c
from instar.exporting.to_onnx import write_onnx
from instar.exporting.to_python import write_python
from instar.exporting.to_rules import write_rules
from instar.exporting.to_skops import write_skops
from instar.models import MLP, Tree
from instar.models.normalised import Normalised
from instar.models.questions import Question, ask_raw
from instar.models.tree_ensemble import TreeEnsemble
from instar.procedures.train import train
from instar.trees import TreeArrays

FORMATS = [write_python, write_rules, write_skops, write_onnx, write_c]
CODES = ("007", 'say "hi"\n*/ ??/', "Zürich", "plain")


def make_table(rows, seed):
    draw = np.random.default_rng(seed)
    table = pandas.DataFrame(
        {
            "age of\n'user' */": draw.integers(18, 80, rows).astype(float),
            "income": np.exp(draw.normal(8, 3, rows)),
            "city": np.array(CODES, dtype=object)[draw.integers(0, 4, rows)],
            "active": draw.random(rows) < 0.4,
            "since": pandas.Timestamp("2020-01-01") + pandas.to_timedelta(draw.integers(0, 10**8, rows), unit="s"),
        }
    )
    score = (table["income"] > 4000).astype(int) + (table["city"] == "Zürich") + (table["since"] > "2021-06-01")
    table["left"] = np.array(["no", "it's", "yes"])[np.minimum(score + (draw.random(rows) < 0.1), 2)]
    for name in ("income", "city"):
        table.loc[draw.random(rows) < 0.15, name] = None
    return table


@pytest.fixture(scope="module")
def of_table(tmp_path_factory):
    data = instar.load_data({"train": make_table(1500, 0), "test": make_table(300, 1)}, label_column="left")
    run = train(data, Tree(leaves=80, prune=False), out=tmp_path_factory.mktemp("table") / "run", show=False)
    return read_student(run, data, tolerance=1e-4)


@pytest.fixture(scope="module")
def of_numbers(tmp_path_factory):
    data = instar.load_data("digits")
    run = train(data, Tree(leaves=60, prune=False), out=tmp_path_factory.mktemp("digits") / "run", show=False)
    return read_student(run, data, tolerance=1e-4)


@pytest.fixture(scope="module")
def of_pixels(of_numbers, tmp_path_factory):
    digits = instar.load_data("digits")
    pixels = {
        split: ((samples.inputs() * 255).round().to(torch.uint8).numpy(), samples.labels.numpy())
        for split, samples in (("train", digits.train), ("test", digits.test))
    }
    data = instar.load_data(pixels)
    run = train(data, Tree(leaves=60), out=tmp_path_factory.mktemp("pixels") / "run", show=False)
    return read_student(run, data, tolerance=1e-4)


def make_rows(student):
    """Return raw rows in the type of the model, drawn from all bounds and the numbers beside them, and missing ones."""
    inputs = student.header["inputs"]
    dtype, questions = getattr(torch, inputs["dtype"]), ask_raw(student.model, inputs["shape"], inputs["dtype"])
    draw = np.random.default_rng(0)
    (given,) = list_tensors(student.batches[0])
    rows = np.repeat(given[:1].flatten(1).double().numpy(), 800, 0)
    for place in range(rows.shape[1]):
        of_column = (questions.places == place) & (questions.asked != Question.NONE)
        bounds = questions.bounds[of_column]
        step = 1.0 if dtype == torch.uint8 else None
        beside = bounds + step if step else np.concatenate([np.nextafter(bounds, np.inf), np.float32(bounds)])
        if questions.columns[place].kind == "word":
            bounds, beside = np.arange(-1.0, len(questions.columns[place].categories)), []
        if len(bounds):
            rows[:, place] = draw.choice(np.concatenate([bounds, beside]), len(rows))
    tensor = torch.from_numpy(rows).to(dtype)
    if dtype == torch.float32:  # a row lies beside a threshold in its own type
        other = torch.nextafter(tensor, torch.full_like(tensor, torch.inf))
        tensor = torch.where(torch.from_numpy(draw.random(rows.shape) < 0.5), other, tensor)
    if dtype.is_floating_point:
        tensor[::5][torch.from_numpy(draw.random(tensor[::5].shape) < 0.3)] = torch.nan
    return tensor.reshape(-1, *inputs["shape"]), questions


def skip_without_compiler(write):
    if write is write_c and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("there is no C compiler")
    if write is write_onnx:
        pytest.importorskip("onnxruntime", reason="needs the extra export")
    if write is write_skops:
        pytest.importorskip("skops", reason="needs the extra skops")


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("name", ["of_table", "of_numbers", "of_pixels"])
def test_exports_equal_the_model_at_every_threshold(name, write, request, tmp_path):
    skip_without_compiler(write)
    student = request.getfixturevalue(name)
    rows, _ = make_rows(student)
    if write is write_skops and name == "of_numbers":
        rows = rows[~rows.flatten(1).isnan().any(1)]  # scikit-learn sends them somewhere
    predict = write(student, tmp_path / "export")
    with torch.inference_mode():
        wanted, found = student.model(rows), predict(rows)
    assert len(wanted.unique(dim=0)) > 20  # most leaves are reached
    torch.testing.assert_close(found, wanted, rtol=2e-6, atol=2e-6, equal_nan=True)
    assert student.difference(predict) < 1e-5


class AveragedForest(TreeEnsemble):
    combine, meaning = "mean", "probabilities"


class AddedTrees(TreeEnsemble):
    combine, meaning = "sum", "logits"


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
@pytest.mark.parametrize("kind", [AveragedForest, AddedTrees])
def test_exports_combine_several_trees(kind, write, of_numbers, tmp_path):
    skip_without_compiler(write)
    single, draw = of_numbers.model.network.trees, np.random.default_rng(0)
    nodes = len(single.features)
    shifted = [np.where(side < 0, -1, side + nodes) for side in (single.left, single.right)]
    left, right = (
        np.concatenate([side, other]) for side, other in zip((single.left, single.right), shifted, strict=True)
    )
    values = draw.dirichlet(np.ones(10), 2 * nodes)
    trees = TreeArrays(
        np.tile(single.features, 2), np.concatenate([single.thresholds, single.thresholds / 2]), left, right, values,
        [0, nodes], 64, combine=kind.combine, meaning=kind.meaning,
        base=np.zeros(10) if kind is AveragedForest else draw.normal(size=10),
    )  # fmt: skip
    network = kind({}, (1, 8, 8), 10)
    network.take(trees)
    model = Normalised(network, torch.zeros(1), torch.ones(1)).eval()
    student = dataclasses.replace(of_numbers, model=model)
    rows = make_rows(student)[0]
    predict = write(student, tmp_path / "export")
    if write is write_skops:
        rows = rows[~rows.flatten(1).isnan().any(1)]
    with torch.inference_mode():
        torch.testing.assert_close(predict(rows), model(rows), rtol=2e-6, atol=2e-6, equal_nan=True)


def test_the_python_file_reads_rows_as_people_have_them(of_table, tmp_path):
    write_python(of_table, tmp_path / "model.py")
    names = {}
    exec((tmp_path / "model.py").read_text(), names)
    table = make_table(60, 2).drop(columns="left")
    table.loc[0, "city"] = "a town that was never seen"
    with torch.inference_mode():
        wanted = of_table.model(table).softmax(1)
    rows = table.to_dict("records")
    assert {type(value).__name__ for row in rows for value in row.values()} >= {"Timestamp", "str", "bool", "float"}
    found = [names["predict_proba"](row) for row in rows]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    likeliest = [of_table.classes[place] for place in wanted.argmax(1)]
    assert [names["predict"](list(row.values())) for row in rows] == likeliest
    with pytest.raises(KeyError, match="income"):
        names["predict"]({name: value for name, value in rows[0].items() if name != "income"})


def test_rules_can_be_followed_by_hand_and_name_columns_and_words(of_numbers, of_table, tmp_path):
    write_rules(of_numbers, tmp_path / "rules.txt")
    lines = (tmp_path / "rules.txt").read_text().splitlines()

    def follow(row, first, depth):
        line = lines[first].strip()
        if not (found := re.fullmatch(r"if x\[(\d+), (\d+), (\d+)\] <= (\S+):", line)):
            return line.split()[0]
        channel, high, wide = map(int, found.groups()[:3])
        if row[channel][high][wide] <= float(found[4]):
            return follow(row, first + 1, depth + 1)
        otherwise = lines.index("  " * depth + "otherwise:", first)
        return follow(row, otherwise + 1, depth + 1)

    rows = make_rows(of_numbers)[0]
    rows = rows[~rows.flatten(1).isnan().any(1)]
    with torch.inference_mode():
        wanted = [of_numbers.classes[place] for place in of_numbers.model(rows).argmax(1)]
    assert [follow(row.tolist(), 0, 0) for row in rows] == wanted
    write_rules(of_table, tmp_path / "table.txt")
    text = (tmp_path / "table.txt").read_text()
    assert 'city is "Zürich"' in text
    assert re.search(r"since <= 2021-0[56]-\d\d \d\d:\d\d:\d\d \(16\d{8}\.\d+ seconds\)", text)
    assert re.search(r"income <= \d+\.\d{6,} or is missing:|income <= \d+\.\d{6,}:", text)


def test_formats_of_trees_refuse_networks(tmp_path):
    run = train("digits", MLP([4]), out=tmp_path / "run", epochs=1, show=False)
    for to in ("python", "c", "rules", "scikit-learn"):
        with pytest.raises(MismatchError, match=f"the format {to} holds decision trees, and the model 'mlp' is none"):
            instar.export(run, to)
    assert not (run.path / "export").exists()
