"""Data of the user's own by `package.module:Name`: a function that returns what `load_data` takes."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import instar as package
from instar.errors import ConfigError, InstarError
from instar.importing import TypedName
from instar.runs.files import read_json
from instar.runs.run import Run

SOURCES = '''
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

import instar

SHIFT = 0.0


def load(count: int = 120):
    """Points inside and outside of a circle, with labels as words."""
    points = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32) + SHIFT
    return points, np.where((points**2).sum(1) < 1, "inside", "outside")


def by_split():
    points, words = load(150)
    parts = {"train": slice(80), "validation": slice(80, 110), "test": slice(110, 150)}
    return {name: (points[part], words[part]) for name, part in parts.items()}


def table():
    import pandas

    points, words = load()
    return pandas.DataFrame({"points": list(points), "kind": words})


def file(name="points.jsonl"):
    return name


def pictures(size: int = 6):
    pixels = np.random.default_rng(0).integers(0, 100, (60, 3, size, size), dtype=np.uint8)
    labels = np.arange(60) % 2
    pixels[labels == 1] += 100
    return pixels, labels


def with_columns():
    points, words = load()
    sides = {"radius": {"train": (points**2).sum(1, keepdims=True)}}
    return instar.load_data((points, words, *load(30)), columns={"radius": {
        "train": (points**2).sum(1, keepdims=True), "test": (load(30)[0]**2).sum(1, keepdims=True)}})


class Points(Dataset):
    def __init__(self, count: int = 120):
        self.points, self.words = load(count)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], self.words[index]


class Net(nn.Sequential):
    def __init__(self, num_classes: int):
        super().__init__(nn.Linear(2, num_classes))


def needs(count: int):
    return load(count)


def broken():
    raise KeyError("no such column")


def again():
    return "my_data:load"


def settings():
    return instar.config.DataConfig(source="digits")


def selected():
    return instar.load_data(load(), subset=10)


NUMBER = 3
'''

MLP = ["--model", "mlp", "--arg", "widths=[8]", "--epochs", "1"]


@pytest.fixture
def mine(write_module: Callable[[str, str], Path]) -> Path:
    """A folder with the module `my_data`, where the command is given."""
    return write_module("my_data", SOURCES)


@pytest.mark.usefixtures("mine")
def test_a_run_remembers_the_function_and_every_verb_asks_for_trust(instar: Callable[..., Any]) -> None:
    train = ["train", "my_data:load", *MLP, "--set", "data.source_arguments.count=100", "--out", "run"]
    assert instar(*train)[0] == 0
    recorded = read_json(Path("run/config.json"))["config"]["data"]
    assert (recorded["source"], recorded["source_arguments"]) == ("my_data:load", {"count": 100})
    assert instar(*train)[0] == 0  # the complete run
    code, _, err = instar(*[word.replace("=100", "=90") for word in train])
    assert (code, "data.source_arguments.count was 100, now 90" in err) == (2, True)
    assert instar("train", "my_data:load", *MLP, "--set", "data.source_arguments.count=100", "--out", "other")[0] == 0
    label = ["label", "my_data:load", "--set", "data.source_arguments.count=100", "--teacher", "run", "--out", "store"]
    assert instar(*label)[0] == 0
    right = Run("run").metrics["errors"]

    sys.modules.pop("my_data")
    for verb in (["inspect", "run"], ["report", "run"], ["targets", "info", "store"]):  # which read no data
        assert instar(*verb)[0] == 0, verb
    assert "instar evaluate run --trust" in instar("inspect", "run")[1]
    assert package.predict("run", np.zeros((1, 2), np.float32))[0].label in ("inside", "outside")
    verbs = (
        ["evaluate", "run"],
        ["evaluate", "store"],
        ["export", "run", "--to", "safetensors"],
        ["correct-bias", "run", "--class", "inside", "--offset", "1", "--out", "corrected"],
        ["ensemble", "run", "other", "--out", "both"],
        ["specialists", "cluster", "run", "--clusters", "1"],
        ["targets", "verify", "store"],
    )
    for verb in verbs:
        code, _, err = instar(*verb)
        assert (code, "data 'my_data:load' is not part of Instar" in err) == (2, True), (verb, err)
        assert "my_data" not in sys.modules, verb
    for verb in verbs:
        code, _, err = instar(*verb, "--trust")
        assert code == 0, (verb, err)
    assert f"errors {right} of 20" in " ".join(instar("evaluate", "run", "--trust")[1].split())
    assert instar("evaluate", "run", "--data", "my_data:load")[0] == 0  # typed
    assert instar("evaluate", "run", "--data", "my_data:by_split")[0] == 0


@pytest.mark.usefixtures("mine")
def test_changed_data_are_told(instar: Callable[..., Any]) -> None:
    assert instar("train", "my_data:load", *MLP, "--out", "run")[0] == 0
    sys.modules.pop("my_data")
    Path("my_data.py").write_text(SOURCES.replace("SHIFT = 0.0", "SHIFT = 0.25"))
    code, _, err = instar("evaluate", "run", "--trust")
    assert (code, "the test data are not those that 'run' was made with" in err) == (0, True)
    code, _, err = instar("train", "my_data:load", *MLP, "--out", "run")
    assert (code, "fingerprints.data" in err) == (2, True)


def test_a_named_function_trains_the_same_weights_as_its_data(mine: Path) -> None:
    sys.path.insert(0, str(mine))
    import my_data  # type: ignore[import-not-found]  # made above

    settings: dict[str, Any] = {"epochs": 2, "show": False}
    runs = [
        package.train(package.load_data(my_data.load()), package.models.MLP([4]), out="object", **settings),
        package.train("my_data:load", package.models.MLP([4]), out="name", trust=True, **settings),
        package.train(package.load_data("my_data:Points", trust=True), package.models.MLP([4]), out="data", **settings),
    ]
    assert len({run.weights.read_bytes() for run in runs}) == 1
    assert [run.config["data"]["source"] for run in runs] == ["arrays", "my_data:load", "my_data:Points"]


@pytest.mark.usefixtures("mine")
def test_a_name_that_nobody_typed_needs_trust(instar: Callable[..., Any]) -> None:
    Path("settings.yaml").write_text("data: {source: 'my_data:load', source_arguments: {count: 90}}")
    words = ["train", *MLP, "--config", "settings.yaml", "--out", "run"]
    for typed in ([], ["--model", "my_data:Net"], ["--views", "Shift(1)"]):  # typing another name is no trust
        code, _, err = instar(*words, *typed)
        assert (code, "my_data" in sys.modules) == (2, False)
        assert "data 'my_data:load' is not part of Instar, so loading it runs code from outside Instar" in err
    for verb in ("born-again", "tune"):
        assert instar(verb, *words[1:-1], verb)[0] == 2
    with pytest.raises(ConfigError, match="allow this with --trust"):
        package.load_data("my_data:load")
    assert instar(*words, "--trust")[0] == 0
    typed = ["train", *MLP, "--set", "data.source=my_data:load", "--set", "data.source_arguments={count: 90}"]
    assert instar(*typed, "--out", "run")[0] == 0  # the same run


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "settings", "sizes", "shape"),
    [
        ("by_split", {}, (80, 30, 40), (2,)),
        ("table", {"input_column": "points", "label_column": "kind"}, (86, 10, 24), (2,)),
        ("file", {"input_column": "x", "label_column": "kind", "test": 0.25}, (40, 4, 16), (1,)),
        ("pictures", {"test": 0.5}, (27, 3, 30), (3, 6, 6)),
        ("Points", {"source_arguments": {"count": 50}}, (36, 4, 10), (2,)),
        ("with_columns", {}, (108, 12, 30), (2,)),
    ],
)
def test_a_function_returns_what_load_data_takes_and_is_read_the_same_again(
    name: str, settings: dict[str, Any], sizes: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    rows = [f'{{"x": [{number / 7}], "kind": "{"ab"[number % 2]}"}}\n' for number in range(60)]
    Path("points.jsonl").write_text("".join(rows))
    sys.path.insert(0, "")
    data = package.load_data(f"my_data:{name}", trust=True, **settings)
    assert (len(data.train), len(data.validation or ()), len(data.test), data.train.input_shape) == (*sizes, shape)
    assert repr(data).startswith(f"Data('my_data:{name}': ")
    run = package.train(data, package.models.MLP([4]), out="run", epochs=1, show=False)
    found = package.evaluate("run", trust=True)
    assert (found["errors"], "changed_data" in found) == (run.metrics["errors"], False)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("my_data:Net", {}, "data 'my_data:Net' are a class of models; data come first"),
        ("my_data:NUMBER", {}, "must be a function that returns data, got 3"),
        ("my_data:lod", {}, "data 'my_data:lod' cannot be imported"),
        ("my_data:load", {"source_arguments": {"cuont": 3}}, "has no argument 'cuont'; did you mean 'count'"),
        ("my_data:needs", {}, "needs the argument 'count', such as --set data.source_arguments.count=64"),
        ("my_data:broken", {}, "data 'my_data:broken' cannot be loaded: KeyError: 'no such column'"),
        ("my_data:again", {}, "must return a folder, a Hub id, arrays, a table or a data set, got 'my_data:load'"),
        ("my_data:settings", {}, "must return a folder, a Hub id, arrays, a table or a data set, got DataConfig"),
        ("my_data:selected", {}, "are selected by 'subset' already; set data.subset in its place"),
        ("my_data:with_columns", {"image_size": 8}, "'image_size' has no effect on 'my_data:with_columns'"),
        ("my_data:load", {"test_where": "a=b"}, "'test_where' needs data with columns"),
        ("digits", {"source_arguments": {"count": 3}}, "are those of a package.module:function, but 'digits' is none"),
        ("subprocess:getoutput", {"source_arguments": {"cmd": "touch ran"}}, "a function of an installed package"),
        ("instar.runs.files:write_json", {"source_arguments": {"path": "ran"}}, "a function of an installed package"),
        ("os:system", {"source_arguments": {"command": "touch ran"}}, "a function of an installed package"),
    ],
)
def test_what_is_no_data_is_refused_in_a_sentence(name: str, settings: dict[str, Any], problem: str) -> None:
    sys.path.insert(0, "")
    with pytest.raises(InstarError, match=problem):
        package.load_data(name, trust=True, **settings)
    assert not Path("ran").exists()


@pytest.mark.usefixtures("mine")
def test_a_model_in_the_place_of_data_is_refused_by_name() -> None:
    sys.path.insert(0, "")
    with pytest.raises(ConfigError, match=r"train takes \(data, model\) in this order, and got data for 'model'"):
        package.train("my_data:Net", "digits", out="no")
    for data, model in (("my_data:Net", "my_data:load"), (TypedName("my_data:Net"), TypedName("my_data:load"))):
        with pytest.raises(ConfigError, match="are a class of models; data come first, then the teacher, then the"):
            package.train(data, model, out="no", trust=not isinstance(data, TypedName))
    with pytest.raises(ConfigError, match=r"'my_data:load' is not annotated to return a torch\.nn\.Module"):
        package.train("digits", TypedName("my_data:load"), out="no")
    assert not Path("no").exists()
