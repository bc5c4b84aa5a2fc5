"""Students that start from layers of their teacher: the weights by hand, the functions, the refusals, and resuming."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.docs.pages import blocks, read
from tests.models.tiny_chat import ROWS, save_chat_tokenizer, save_small_model, write_rows
from tests.same_runs import assert_same
from torch import nn

import instar
from instar.config import RunConfig, validate
from instar.data import Data, load_data
from instar.errors import ConfigError, InstarError, MismatchError, RunError
from instar.models import MLP, Normalised, ResNet, describe_model
from instar.models.teacher_layers import copy_layers
from instar.runs.run import Run
from instar.stages.components import GivenObjects, resolve_components
from instar.stages.preparation import prepare
from instar.teachers.conversion import as_teacher

DIGITS = load_data("digits", subset=96)
SHARED = {"epochs": 1, "batch_size": 32, "log_every": 1, "checkpoint_seconds": 0, "show": False}
EVERY_SECOND = {"model.bert.encoder.layer.*": "model.bert.encoder.layer.{0,2}"}
INPUTS = DIGITS.test.inputs()[:50]


def initial(data: Data, teacher: Any, model: Any, layers: Any = None, network: nn.Module | None = None) -> Normalised:
    """Return the student before its first step."""
    described = model if isinstance(model, dict) else describe_model(model).model_dump()
    values = {"data": data.config.model_dump(), "model": described, "objective": "SoftTargets(1)", "start": "teacher"}
    config = validate(RunConfig, values | {"start_layers": layers or {}})
    given = GivenObjects(data=data, teacher=as_teacher(teacher), network=network)
    components = resolve_components(config, given, trust=False)
    components.check()
    return prepare(components, trust=False, show=False).initial.model


@torch.no_grad()
def logits(network: nn.Module, inputs: Any) -> torch.Tensor:
    found = network.eval()(**inputs) if isinstance(inputs, dict) else network.eval()(inputs)
    return getattr(found, "logits", found)


def assert_copied(own: dict[str, Any], theirs: dict[str, Any], number: str, layers: dict[str, str]) -> None:
    for name, value in own.items():
        counterpart = re.sub(number, lambda found: layers[found[0]], name)
        assert torch.equal(value, theirs[counterpart]), name


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return instar.train(DIGITS, ResNet(14), out=tmp_path_factory.mktemp("deep") / "run", **SHARED)


def write_encoder(folder: Path, layers: int, **settings: Any) -> str:
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "initializer_range": 0.3}
    torch.manual_seed(layers)
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    config = transformers.BertConfig(
        vocab_size=30, max_position_embeddings=12, num_hidden_layers=layers, **labels | sizes | settings
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def words_of(*classes: str) -> Data:
    """Return encoded texts of two classes, in an order of their own."""
    draws = np.random.default_rng(0)
    mask = np.arange(8) < draws.integers(3, 9, 40)[:, None]
    ids = np.where(mask, draws.integers(1, 30, (40, 8)), 0)
    parts = {"train": slice(0, 30), "test": slice(30, 40)}
    return load_data(
        {
            split: {
                "input_ids": ids[rows],
                "attention_mask": mask[rows],
                "label": np.where(ids[rows, 0] > 15, "good", "bad"),
            }
            for split, rows in parts.items()
        },
        classes=classes,
    )


def test_an_encoder_of_every_second_layer_is_that_of_transformers_with_the_others_left_out(
    tmp_path: Path,
) -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    teacher, small = write_encoder(tmp_path / "teacher", 4), write_encoder(tmp_path / "small", 2)
    model = {"name": f"transformers:{small}", "arguments": {"pretrained": False}}
    words = words_of("bad", "good")
    by_hand = transformers.BertForSequenceClassification.from_pretrained(teacher)
    layers = by_hand.bert.encoder.layer
    by_hand.bert.encoder.layer = nn.ModuleList([layers[0], layers[2]])
    inputs = {"input_ids": torch.randint(1, 30, (9, 8)), "attention_mask": torch.ones(9, 8, dtype=torch.long)}
    wanted = logits(by_hand, inputs)
    for given in (f"transformers:{teacher}", as_teacher(f"transformers:{teacher}")):
        found = initial(words, given, model, EVERY_SECOND)
        assert torch.equal(logits(found.network.model, inputs), wanted)
    # without a map, layers of one name are paired
    by_hand.bert.encoder.layer = nn.ModuleList([layers[0], layers[1]])
    found = initial(words, f"transformers:{teacher}", model)
    assert torch.equal(logits(found.network.model, inputs), logits(by_hand, inputs))
    for data in (words, words_of("good", "bad")):  # the classes of the data, whatever their order in the last layer
        found = initial(data, f"transformers:{teacher}", model, EVERY_SECOND)
        assert torch.equal(logits(found.network, inputs)[:, data.classes.index("good")], wanted[:, 1])
    turned = write_encoder(tmp_path / "turned", 2, id2label={0: "good", 1: "bad"}, label2id={"bad": 1, "good": 0})
    with pytest.raises(MismatchError, match="whose last layer has the classes in another order"):
        initial(words, f"transformers:{teacher}", model | {"name": f"transformers:{turned}"}, EVERY_SECOND)


def test_the_map_of_distilbert_makes_the_hidden_states_of_every_second_layer_of_bert() -> None:
    transformers = pytest.importorskip("transformers", reason="needs the extra transformers")
    torch.manual_seed(0)
    sizes = {"vocab_size": 30, "max_position_embeddings": 12, "initializer_range": 0.3}
    wide = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 5}
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, **wide)).eval()
    small = {"dim": 16, "hidden_dim": 24, "n_heads": 2, "n_layers": 3}
    student = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**sizes, **small)).eval()
    found: dict[str, Any] = {}
    (code,) = (block for block in blocks(read("docs/phases.md"), "python") if "distilbert" in block)
    exec(compile(code, "docs/phases.md", "exec"), found)
    networks = (nn.ModuleDict({"model": one}) for one in (student, bert))
    assert copy_layers(*networks, found["start_layers"]) == ["model.pre_classifier"]
    bert.bert.embeddings.token_type_embeddings.weight.data.zero_()  # which DistilBERT does not have
    bert.bert.encoder.layer = nn.ModuleList([bert.bert.encoder.layer[at] for at in (0, 2, 4)])
    ids, mask = torch.randint(1, 30, (5, 8)), torch.arange(8) < torch.tensor([8, 3, 5, 8, 6])[:, None]
    with torch.no_grad():
        wanted = bert.bert(ids, mask.long()).last_hidden_state
        states = student.distilbert(ids, mask.long()).last_hidden_state
    torch.testing.assert_close(states, wanted)


def test_a_language_model_starts_from_layers_of_its_teacher(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    folders = {count: tmp_path / str(count) for count in (4, 2)}
    for count, folder in folders.items():
        save_small_model(folder, num_hidden_layers=count, intermediate_size=24)
        save_chat_tokenizer(folder)
    rows = write_rows(tmp_path / "rows", train=ROWS[:8], test=ROWS[8:])
    data = load_data(rows, tokenizer=str(folders[4]), length=24)
    model = {"name": f"transformers:{folders[2]}", "arguments": {"pretrained": False}}
    found = initial(data, f"transformers:{folders[4]}", model, {"model.model.layers.*": "model.model.layers.[13]"})
    theirs = as_teacher(f"transformers:{folders[4]}").modules()[0].state_dict()
    assert_copied(found.network.state_dict(), theirs, r"(?<=layers\.)\d", {"0": "1", "1": "3"})


def test_a_network_of_instar_takes_blocks_and_the_statistics_of_its_inputs(deep: Run) -> None:
    found = initial(DIGITS, deep, ResNet(8), {"blocks.*": "blocks.{0,2,4}"}).state_dict()
    theirs = deep.model.state_dict()
    assert_copied(found, theirs, r"(?<=blocks\.)\d", {"0": "0", "1": "2", "2": "4"})
    assert torch.equal(found["mean"], deep.model.mean)


def test_the_same_architecture_begins_as_its_teacher(deep: Run, tmp_path: Path) -> None:
    expected = logits(deep.model, INPUTS)
    assert torch.equal(logits(initial(DIGITS, deep, ResNet(14)), INPUTS), expected)
    assert torch.equal(logits(initial(DIGITS, deep.model, ResNet(14)), INPUTS), expected)
    # a module without statistics reads inputs as they are, and so does the student that has its weights
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 10))
    assert torch.equal(logits(initial(DIGITS, module, student, network=student), INPUTS), logits(module, INPUTS))
    plain = MLP([16], input_shape=(1, 8, 8), num_classes=10)
    assert torch.equal(logits(initial(DIGITS, plain, MLP([16])), INPUTS), logits(plain, INPUTS))


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (
            {},
            r"\(20 of them\): 'blocks.1.residual.0.weight' is \[32, 16, 3, 3\] and the teacher's .* is \[16, 16",
        ),
        ({"block.*": "blocks.*"}, "the student has no layer 'block.*'; "),
        ({"blocks.*": "blocks.{0,2,9}"}, "the teacher has no layer 'blocks.9'; the nearest are"),
        ({"*": None}, "start_layers gives new weights to all layers that have a counterpart"),
        ({"blocks.*": "blocks.{0,2}"}, r"'blocks.\*' matches 3 of the student .* matches 2 of the teacher"),
        ({"blocks.*": "blocks.{0,2,4}", "blocks.1": "blocks.3"}, "two patterns of start_layers match .* 'blocks.1'"),
    ],
)
def test_layers_that_do_not_fit_are_refused(deep: Run, layers: Any, problem: str) -> None:
    with pytest.raises(MismatchError, match=problem):
        initial(DIGITS, deep, ResNet(8), layers)


def test_what_has_no_layers_to_start_from_is_refused(deep: Run, tmp_path: Path) -> None:
    given = SHARED | {"start": "teacher", "out": tmp_path / "no"}
    store = instar.label(DIGITS, deep, out=tmp_path / "store", show=False)
    for teacher, problem in ((store, "has 0 networks"), ([deep, deep.model], "has 2 networks")):
        with pytest.raises(MismatchError, match=f"start 'teacher' takes layers .* must be one network; it {problem}"):
            instar.distill(DIGITS, teacher, ResNet(14), **given)
    with pytest.raises(MismatchError, match="it is missing"):
        instar.train(DIGITS, ResNet(14), **given)
    with pytest.raises(ConfigError, match="start_layers needs start 'teacher'"):
        instar.distill(DIGITS, deep, ResNet(14), **SHARED | {"out": tmp_path / "no", "start_layers": {"stem": "stem"}})
    turned = instar.Module(deep.model, classes=tuple(reversed(DIGITS.classes)))
    with pytest.raises(MismatchError, match="whose last layer has the classes in another order"):
        instar.distill(DIGITS, turned, ResNet(14), **given)
    assert not (tmp_path / "no").exists()


def test_layers_without_counterpart_are_said_and_keep_their_own_weights(
    deep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = {"blocks.*": "blocks.{0,2,4}", "classifier": None}
    run = instar.distill(
        DIGITS, deep, ResNet(8), out=tmp_path / "run", start="teacher", start_layers=layers, **SHARED | {"show": True}
    )
    assert "layers of the student without counterpart in the teacher have new weights: classifier." in (
        capsys.readouterr().err
    )
    assert instar.inspect(run.path).origin["start_layers"] == layers
    assert (run.config["start"], run.config["start_layers"]) == ("teacher", layers)
    with pytest.raises(MismatchError, match="no layers have the same names: the student has '0', the teacher 'stem'"):
        copy_layers(nn.Sequential(nn.Linear(2, 2)), deep.model.network, {})


def test_a_killed_run_ends_with_the_same_bits_and_another_map_is_refused(
    deep: Run, tmp_path: Path, stop_before: Any
) -> None:
    def distil(name: str, blocks: str = "blocks.{0,2,4}") -> Run:
        given: dict[str, Any] = {"start": "teacher", "start_layers": {"blocks.*": blocks}}
        phases = [{"epochs": 1}, {"objective": "HardLabels()", "epochs": 1}]
        return instar.distill(DIGITS, deep, ResNet(8), out=tmp_path / name, phases=phases, **SHARED | given)

    straight = distil("straight")
    assert Run(straight.path / "phases" / "1").config["start"] == "teacher"
    stopped = stop_before(2)
    with pytest.raises(stopped):
        distil("killed")
    assert_same(straight, distil("killed"))
    with pytest.raises(RunError, match=r"start_layers.blocks.\* was 'blocks.{0,2,4}', now 'blocks.\[024\]'"):
        distil("straight", "blocks.[024]")
    with pytest.raises(InstarError, match="phase 1: the teacher has no layer 'block"):
        distil("other", "block.{0,2,4}")
    page = instar.report(tmp_path).read_text()
    assert "straight" in page
