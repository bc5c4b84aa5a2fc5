"""Terms and views of the user's own by `package.module:Name`, on the command line, in settings and in run folders."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import instar
from instar.config import ModelConfig
from instar.data import parse_views
from instar.errors import ConfigError, RunError
from instar.expressions import write
from instar.models.foreign_readers import choose_reader
from instar.objectives import parse_objective
from instar.runs.files import read_json, write_json

PARTS = '''
from dataclasses import dataclass

import torch

from instar.data import View
from instar.models.readers import Reader
from instar.objectives import HardLabels, Need, Term, Value


@dataclass(frozen=True)
class Half(Reader):
    """The left part of the columns."""

    shares: int = 2

    def __call__(self, inputs):
        return inputs if inputs.shape[-1] == 8 // self.shares else inputs[..., : inputs.shape[-1] // self.shares]

    def shape(self, given):
        return (*given[:-1], given[-1] // self.shares)


@dataclass(frozen=True)
class Focal(Term):
    """(1 - p)^gamma times the cross-entropy, with p the probability of the label."""

    gamma: float = 2.0
    needs = frozenset({Need.LABELS})
    name = "focal"

    def __call__(self, logits, batch, targets):
        loss = HardLabels()(logits, batch, targets).loss
        return Value((1 - torch.exp(-loss)) ** self.gamma * loss)


@dataclass(frozen=True)
class Dim(View):
    """Darker images."""

    share: float = 0.5

    def __call__(self, inputs, draws):
        return (self.share * inputs.float()).to(inputs.dtype)


@dataclass
class Changeable(View):
    def __call__(self, inputs, draws):
        return inputs


class Plain(Term):
    needs = frozenset({Need.LABELS})
    name = "plain"

    def __call__(self, logits, batch, targets):
        return HardLabels()(logits, batch, targets)


def run(command):
    raise SystemExit(command)


def load():
    return "digits"


@dataclass(frozen=True)
class Broken(Focal):
    def __post_init__(self):
        raise RuntimeError("no such thing")
'''

MLP = ["--model", "mlp", "--arg", "widths=[8]", "--epochs", "1", "--set", "data.subset=100"]
OBJECTIVE = "my_parts:Focal(1) + 0.1 * HardLabels()"


@pytest.fixture
def parts(write_module: Callable[[str, str], Path]) -> Path:
    """A folder with the module `my_parts`, where the command is given."""
    return write_module("my_parts", PARTS)


@pytest.mark.usefixtures("parts")
def test_typed_terms_and_views_train_resume_and_are_shown(instar: Callable[..., Any]) -> None:
    words = ["train", "digits", *MLP, "--out", "run"]
    chosen = ["--objective", OBJECTIVE, "--views", "my_parts:Dim(0.25) + Shift(1)"]
    assert instar(*words, *chosen)[0] == 0
    config = read_json(Path("run/config.json"))["config"]
    assert (config["objective"], config["views"]) == (OBJECTIVE, "my_parts:Dim(0.25) + Shift(1)")
    assert instar(*words, *chosen)[0] == 0  # the complete run
    code, _, err = instar(*words, "--objective", "my_parts:Focal(2) + 0.1 * HardLabels()", *chosen[2:])
    assert (code, "objective was" in err) == (2, True)
    sys.modules.pop("my_parts")
    Path("my_parts.py").write_text("raise SystemExit('imported')\n")
    for verb in (["inspect", "run"], ["report", "run"], ["evaluate", "run"], ["compare", "run", "run"]):
        code, out, err = instar(*verb)
        assert (code, "imported" in out + err) == (0 if verb[0] != "compare" else 2, False), (out, err)
    assert OBJECTIVE in instar("inspect", "run")[1]


@pytest.mark.usefixtures("parts")
def test_a_named_term_trains_the_same_weights_as_the_object(tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    import my_parts  # type: ignore[import-not-found]

    data, model = instar.load_data("digits", subset=100), instar.models.MLP([8])
    given: dict[str, Any] = {"views": my_parts.Dim(0.25), "epochs": 2, "show": False}
    by_object = instar.train(data, model, objective=0.5 * my_parts.Focal(1), out="object", **given)
    given["views"] = "my_parts:Dim(0.25)"
    by_name = instar.train(data, model, objective="0.5 * my_parts:Focal(1)", out="name", trust=True, **given)
    assert (by_object.path / "weights.safetensors").read_bytes() == (by_name.path / "weights.safetensors").read_bytes()
    assert by_object.config["objective"] == "0.5 * my_parts:Focal(gamma=1)"
    assert by_object.config["views"] == "my_parts:Dim(share=0.25)"


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("setting", "text"), [("objective", "my_parts:Focal(1)"), ("views", "Flip() + my_parts:Dim()")]
)
def test_a_name_that_nobody_typed_needs_trust(instar: Callable[..., Any], setting: str, text: str) -> None:
    Path("settings.yaml").write_text(f"{setting}: {text}")
    words = ["train", "digits", *MLP, "--config", "settings.yaml", "--out", "run"]
    code, _, err = instar(*words)
    assert (code, "my_parts" in sys.modules) == (2, False)
    assert "is not part of Instar, so loading it runs code from outside Instar; allow this with --trust" in err
    assert instar(*words, "--trust")[0] == 0
    assert instar(*words[:-2], "--set", f"{setting}={text}", "--out", "typed")[0] == 0


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("my_parts:Plain()", "must be a dataclass that is frozen and derives from Instar's Term"),
        ("my_parts:Dim()", "must be a dataclass that is frozen and derives from Instar's Term"),
        ("my_parts:run('true')", "must be a dataclass that is frozen and derives from Instar's Term"),
        ("os:system('true')", "must be a dataclass that is frozen and derives from Instar's Term"),
        ("my_parts:Broken()", "term 'my_parts:Broken' cannot be made: no such thing."),
        ("my_parts:Focal(gama=2)", "term 'my_parts:Focal' cannot be made: .*gama"),
        ("my_parts:Fokal()", "term 'my_parts:Fokal' cannot be imported: module 'my_parts' has no attribute 'Fokal'."),
        ("my_part:Focal()", "term 'my_part:Focal' cannot be imported: No module named 'my_part'."),
        ("my_parts:Focal().gamma", "cannot be read at 'my_parts:Focal\\(\\).gamma'"),
        ("my_parts:Focal(x)", "needs a number or a literal, got 'x'"),
    ],
)
def test_what_is_no_term_is_refused_in_a_sentence(parts: Path, text: str, message: str) -> None:
    sys.path.insert(0, str(parts))
    with pytest.raises(ConfigError, match=message):
        parse_objective(text, trust=True)


def test_a_view_must_be_frozen(parts: Path) -> None:
    sys.path.insert(0, str(parts))
    with pytest.raises(ConfigError, match="view 'my_parts:Changeable' must be a dataclass that is frozen"):
        parse_views("my_parts:Changeable()", trust=True)


def test_texts_come_back_as_equal_objects(parts: Path) -> None:
    sys.path.insert(0, str(parts))
    views = parse_views("my_parts:Dim(0.25) + Crop(2)", trust=True)
    assert str(views) == "my_parts:Dim(share=0.25) + Crop(padding=2, mode='reflect')"
    assert parse_views(str(views), trust=True) == views
    objective = parse_objective("Standardised(my_parts:Focal(3)) + 0.5 * my_parts:Focal", trust=True)
    assert str(objective) == "Standardised(term=my_parts:Focal(gamma=3)) + 0.5 * my_parts:Focal(gamma=2.0)"
    assert parse_objective(str(objective), trust=True) == objective
    with pytest.raises(ConfigError, match="term 'my_parts:Focal' is not part of Instar"):
        parse_objective("Standardised(my_parts:Focal)")


def test_a_text_in_quotes_names_nothing() -> None:
    @dataclasses.dataclass(frozen=True)
    class Labelled:
        text: str

    assert write(Labelled("os:system")).endswith("Labelled(text='os:system')")


@pytest.mark.usefixtures("parts")
def test_a_store_of_named_views_needs_trust_where_it_teaches(instar: Callable[..., Any]) -> None:
    assert instar("train", "digits", *MLP, "--out", "teacher")[0] == 0
    views = ["--views", "my_parts:Dim(0.5)", "--num-views", "2"]
    label = ["label", "digits", "--teacher", "teacher", "--set", "data.subset=100", "--out", "store"]
    assert instar(*label, *views)[0] == 0
    student = ["distill", "digits", *MLP, "--teacher", "store", "--out"]
    code, _, err = instar(*student, "refused")
    assert (code, "allow this with --trust" in err) == (2, True)
    assert instar(*student, "adopted", "--trust")[0] == 0
    assert instar(*student, "typed", *views)[0] == 0
    assert instar("targets", "verify", "store")[0] == 2
    assert instar("targets", "verify", "store", "--trust")[0] == 0


def test_searches_and_lineages_take_named_classes_to_their_workers(parts: Path) -> None:
    def run(*words: str) -> None:  # a process of its own, because workers start where multiprocessing was imported
        command = [sys.executable, "-m", "instar.cli", *words]
        ended = subprocess.run(command, cwd=parts, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

    run("train", "digits", *MLP, "--out", "teacher")
    views = ["--views", "my_parts:Dim(0.5)", "--num-views", "1", "--jobs", "2"]
    grid = ["--temperatures", "1", "--weights", "0,0.1", "--seeds", "2"]
    run("tune", "my_parts:load", *MLP, *views, *grid, "--teacher", "teacher", "--out", "tune")
    lineage = ["born-again", "my_parts:load", *MLP, *views, "--generations", "1", "--no-controls", "--out", "lineage"]
    run(*lineage, "--objective", "SoftTargets(1) + my_parts:Focal(1)")
    config = read_json(parts / "lineage/generation-1/config.json")["config"]
    assert config["objective"] == "SoftTargets(temperature=1) + my_parts:Focal(gamma=1)"


def test_a_run_that_an_older_version_began_goes_on(parts: Path) -> None:
    sys.path.insert(0, str(parts))
    import my_parts

    data, model = instar.load_data("digits", subset=100), instar.models.MLP([8])

    def train(objective: Any) -> None:
        instar.train(data, model, objective=objective, views=my_parts.Dim(), epochs=1, out="run", show=False)

    train(my_parts.Focal(1))
    path = Path("run/config.json")
    write_json(path, content := read_json(path))
    content["config"] |= {"objective": "Focal(gamma=1)", "views": "Dim(share=0.5)"}
    write_json(path, content)
    result = Path("run/result.json")
    write_json(result, read_json(result) | {"files": instar.Run("run").checksums()})
    train(my_parts.Focal(1))
    with pytest.raises(RunError, match="objective was 'Focal"):
        train(my_parts.Focal(2))


@pytest.mark.usefixtures("parts")
def test_a_typed_reader_is_saved_with_its_model(instar: Callable[..., Any]) -> None:
    words = ["train", "digits", *MLP, "--out"]
    for out, flags in {"flag": ["--reader", "my_parts:Half(2)"], "set": ["--set", "reader=my_parts:Half(2)"]}.items():
        code, _, err = instar(*words, out, *flags)
        assert code == 0, err
        assert read_json(Path(out, "model.json"))["reader"] == "my_parts:Half(shares=2)"
    assert instar(*words, "flag", "--reader", "my_parts:Half(2)")[0] == 0  # the complete run
    for verb in (["evaluate", "flag"], ["export", "flag", "--to", "safetensors"]):
        code, _, err = instar(*verb)
        assert (code, "reader 'my_parts:Half' is not part of Instar" in err) == (2, True), err
        code, _, err = instar(*verb, "--trust")
        assert code == 0, err
    assert "my_parts:Half" in instar("inspect", "flag")[1]
    student = ["distill", "digits", *MLP, "--teacher", "flag", "--out", "student"]
    assert instar(*student)[0] == 2
    assert instar(*student, "--trust")[0] == 0


@pytest.mark.usefixtures("parts")
def test_an_int8_file_is_made_behind_a_named_reader(instar: Callable[..., Any]) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra export")
    assert instar("train", "digits", *MLP, "--reader", "my_parts:Half(2)", "--out", "run")[0] == 0
    command = ["export", "run", "--to", "onnx", "--quantise", "int8"]
    assert instar(*command)[0] == 2
    code, out, err = instar(*command, "--trust")
    assert (code, "[batch, 1, 8, 4]" in out) == (0, True), err


def test_the_processor_of_a_model_gives_way_to_a_named_reader() -> None:
    assert choose_reader(ModelConfig(name="transformers:nowhere"), "my_parts:Half(2)") == "my_parts:Half(2)"


def test_a_reader_is_given_as_an_object_where_its_module_can_be_imported(parts: Path) -> None:
    sys.path.insert(0, str(parts))
    import my_parts

    data, model = instar.load_data("digits", subset=100), instar.models.MLP([8])
    run = instar.train(data, model, reader=my_parts.Half(2), epochs=1, out="run", show=False)
    with pytest.raises(ConfigError, match="allow this with --trust"):
        instar.load("run")
    assert instar.load("run", trust=True).reader == my_parts.Half(2) == run.model.reader

    with pytest.raises(ConfigError, match="the field 'parts' of the reader Taken must have another name"):
        type("Taken", (my_parts.Half,), {"__annotations__": {"parts": int}})

    @dataclasses.dataclass(frozen=True)
    class Local(my_parts.Half):  # type: ignore[misc]  # of a module made above
        pass

    with pytest.raises(ConfigError, match="could not be made again from its text, which is saved with the model"):
        instar.train(data, model, reader=Local(), epochs=1, out="local", show=False)


@pytest.mark.usefixtures("parts")
def test_typing_a_reader_does_not_trust_the_class_of_a_file(instar: Callable[..., Any]) -> None:
    Path("settings.yaml").write_text("model: {name: evil:Net}")
    words = ["train", "digits", "--config", "settings.yaml", "--reader", "my_parts:Half()", "--out", "run"]
    code, _, err = instar(*words)
    assert (code, "model 'evil:Net' is not part of instar.models" in err) == (2, True)
