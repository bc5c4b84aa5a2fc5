"""Inputs that are several tensors by name: a network of one's own takes them by keyword, wherever it is called."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import instar
from instar.data import Loader, load_data
from instar.errors import ConfigError, DataError, MismatchError
from instar.models import MLP, Normalised
from instar.models.readers import AsIs, Named, Pixels, parse_reader
from instar.runs.run import Run
from instar.teachers import Module

DRAWS = np.random.default_rng(0)
LENGTHS = DRAWS.integers(2, 7, 80)
MASK = np.arange(6) < LENGTHS[:, None]
IDS = np.where(MASK, DRAWS.integers(1, 20, (80, 6)), 0)
LABELS = (np.where(MASK, IDS, 0).sum(1) / LENGTHS > 10).astype(int)
EXTRA = DRAWS.normal(5, 3, (80, 2)).astype(np.float32)


def split(**arrays):
    """Arrays by name as training and test samples."""
    return {
        "train": {name: array[:60] for name, array in arrays.items()},
        "test": {name: array[60:] for name, array in arrays.items()},
    }


class Pooled(nn.Module):
    """Mean of the embeddings of the words that are no padding, and a linear layer."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(20, 4), nn.Linear(4, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[..., None].to(self.out.weight.dtype)
        return self.out((self.embed(input_ids) * mask).sum(1) / mask.sum(1))


class Sized(nn.Module):
    """A network that is built for the shapes of its inputs, and standardises nothing itself."""

    def __init__(self, input_shape: dict[str, tuple[int, ...]], num_classes: int) -> None:
        super().__init__()
        self.words = nn.Linear(input_shape["words"][0], num_classes)
        self.extra = nn.Linear(input_shape["extra"][0], num_classes)

    def forward(self, words: Tensor, extra: Tensor) -> Tensor:
        return self.words(words.to(extra.dtype)) + self.extra(extra)


@pytest.fixture
def data():
    """60 training samples, 15 of them for validation, and 20 test samples."""
    return load_data(split(input_ids=IDS, attention_mask=MASK, label=LABELS), validation=0.25)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Pooled()


def by_hand(network: nn.Module, data, epochs: int, teacher: nn.Module | None = None) -> nn.Module:
    """Plain training with SGD, in the batches of the run."""
    loader, source = Loader(data.train, 16, seed=0), data.train.source
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(epochs * loader.steps_per_epoch):
        ids = loader.batch(step).ids
        logits = network(source.column("input_ids")[ids], source.column("attention_mask")[ids])
        if teacher is None:
            loss = nn.functional.cross_entropy(logits, source.labels[ids])
        else:
            with torch.no_grad():
                wanted = teacher(source.column("extra")[ids]).softmax(1)
            loss = nn.functional.cross_entropy(logits, wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


PLAIN = {"batch_size": 16, "optimiser": "sgd", "momentum": 0, "learning_rate": 0.1, "schedule": "constant"}


@pytest.mark.parametrize("settings", [{}, {"micro_batches": 3}, {"compile": True}], ids=["plain", "parts", "compiled"])
def test_training_is_that_of_a_loop_by_hand(tmp_path, monkeypatch, data, network, settings):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # traces, without a C++ compiler
    run = instar.train(data, network, out=tmp_path / "run", epochs=3, **PLAIN, **settings)
    assert not any(
        torch.equal(old, new) for old, new in zip(network.parameters(), run.model.network.parameters(), strict=True)
    )
    wanted = by_hand(network, data, 3)
    torch.testing.assert_close(run.model.network.state_dict(), wanted.state_dict(), rtol=1e-5, atol=1e-6)
    described = json.loads((tmp_path / "run" / "model.json").read_text())
    assert described["input_shape"] == {"input_ids": [6], "attention_mask": [6]}
    assert described["dtype"] == {"input_ids": "int64", "attention_mask": "bool"}
    assert parse_reader(described["reader"]) == Named(
        input_ids=AsIs("input_ids"), attention_mask=AsIs("attention_mask")
    )
    assert instar.evaluate(tmp_path / "run", data=data, trust=True)["errors"] == run.metrics["errors"]
    assert json.loads((tmp_path / "run" / "cost.json").read_text())["multiply_adds"] == 4 * 2


def test_padding_never_changes_an_answer(tmp_path, data, network):
    run = instar.train(data, network, out=tmp_path / "run", epochs=1, ema=0.9, patience=1)
    found = instar.predict_proba(run, {"input_ids": IDS, "attention_mask": MASK}, trust=True)
    other = np.where(MASK, IDS, 7)  # other words where there is padding
    np.testing.assert_allclose(instar.predict_proba(run, {"input_ids": other, "attention_mask": MASK}), found)
    model = instar.load(tmp_path / "run", trust=True)
    for row in range(10):
        alone = {"input_ids": torch.from_numpy(IDS[row : row + 1, : LENGTHS[row]])}
        alone["attention_mask"] = torch.ones(1, LENGTHS[row], dtype=torch.bool)
        np.testing.assert_allclose(model(alone).softmax(1)[0].detach(), found[row], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("targets", ["online", "memory", "store"])
def test_teacher_and_student_read_different_columns(tmp_path, network, targets):
    columns = {"extra": {"train": EXTRA[:60], "test": EXTRA[60:]}}
    data = load_data(split(input_ids=IDS, attention_mask=MASK, label=LABELS), columns=columns, validation=0)
    torch.manual_seed(1)
    linear = nn.Linear(2, 2)
    teacher = Module(linear, reader="AsIs('extra')")
    settings = {"objective": "SoftTargets(1)", "targets": targets, **PLAIN}
    run = instar.distill(data, teacher, network, out=tmp_path / "run", epochs=2, **settings)
    wanted = by_hand(network, data, 2, linear).state_dict()
    tolerance = 1e-3 if targets == "store" else 1e-5  # float16 on disk
    torch.testing.assert_close(run.model.network.state_dict(), wanted, rtol=tolerance, atol=tolerance)
    assert run.metrics["teacher_error"] == instar.evaluate(teacher, data=data)["error"]


def test_a_teacher_takes_them_too_by_itself_and_from_its_run(tmp_path, data, network):
    batch = Loader(data.train, 7, seed=0).batch(0)
    source = data.train.source
    wanted = network(source.column("input_ids")[batch.ids], source.column("attention_mask")[batch.ids])
    assert torch.equal(Module(network).targets(batch).logits(), wanted)
    swapped = "Named(input_ids=AsIs('input_ids'), attention_mask=AsIs('attention_mask'))"
    assert torch.equal(Module(network, reader=swapped).targets(batch).logits(), wanted)
    instar.train(data, network, out=tmp_path / "teacher", epochs=1)
    store = instar.label(data, tmp_path / "teacher", out=tmp_path / "targets", trust=True)
    for name, teacher in (("run", tmp_path / "teacher"), ("store", store)):
        run = instar.distill(data, teacher, Pooled(), out=tmp_path / name, epochs=1, trust=True)
        assert run.complete


def test_a_reader_chooses_and_each_is_standardised_with_its_own_statistics(tmp_path, capsys):
    data = load_data(split(words=IDS, extra=EXTRA, label=LABELS), validation=0)
    run = instar.train(data, f"{__name__}:Sized", out=tmp_path / "run", epochs=1, trust=True)
    assert "inputs that are standardised, each with its own mean and std: extra; give a mask" in capsys.readouterr().err
    known = data.train.source.column("extra")
    mean, std = run.model.mean_and_std()["extra"]
    torch.testing.assert_close(mean, known.mean(0))
    torch.testing.assert_close(std, known.std(0, correction=0))
    loaded = instar.load(tmp_path / "run", trust=True)
    given = {"words": data.test.inputs(), "extra": data.test.column("extra")}
    by_hand = loaded.network(given["words"], (given["extra"] - mean) / std)
    torch.testing.assert_close(loaded(given), by_hand)
    assert torch.equal(loaded(given), run.model(given))
    only = instar.train(data, MLP([4]), out=tmp_path / "one", epochs=1, reader="AsIs('extra')")
    torch.testing.assert_close(only.model.network(torch.zeros(1, 2)), only.model(known.mean(0, keepdim=True)))


def test_a_reader_renames_and_leaves_out(tmp_path, network):
    data = load_data(split(extra=EXTRA, words=IDS, where=MASK, label=LABELS), validation=0)
    reader = "Named(input_ids=AsIs('words'), attention_mask=AsIs('where'))"
    run = instar.train(data, network, out=tmp_path / "run", epochs=1, reader=reader)
    found = instar.predict_proba(run, {"words": IDS, "where": MASK})
    wanted = run.model.network(torch.from_numpy(IDS), torch.from_numpy(MASK)).softmax(1).detach()
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_an_image_beside_words_is_resized_and_standardised(tmp_path):
    images = DRAWS.integers(0, 256, (80, 3, 8, 8), dtype=np.uint8)

    class Captioned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.words = nn.Linear(3 * 16, 2), Pooled()

        def forward(self, image: Tensor, words: Tensor, mask: Tensor) -> Tensor:
            return self.image(image.flatten(1)) + self.words(words, mask)

    data = load_data(split(image=images, words=IDS, mask=MASK.astype(int), label=LABELS), validation=0)
    reader = "Named(image=Pixels(4, mean=[0.5], std=[0.25]), words=AsIs('words'), mask=AsIs('mask'))"
    with pytest.raises(MismatchError, match="all inputs of the data as 'image'"):
        instar.train(data, Captioned(), out=tmp_path / "run", epochs=1, reader=reader)
    reader = reader.replace("Pixels(4", "Pixels(4, column='image'")
    network = Captioned()
    run = instar.train(data, network, out=tmp_path / "run", epochs=1, reader=reader, views="Flip()")
    few = {"image": torch.from_numpy(images[:5]), "words": torch.from_numpy(IDS[:5])}
    few["mask"] = torch.from_numpy(MASK[:5]).long()
    small = (Pixels(4)(few["image"]) / 255 - 0.5) / 0.25
    torch.testing.assert_close(run.model(few), run.model.network(small, few["words"], few["mask"]))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("format", ["onnx", "torchscript", "safetensors", "hub"])
def test_exports_take_them_by_name_in_batches_of_any_size(tmp_path, data, network, format):
    run = instar.train(data, network, out=tmp_path / "run", epochs=1)
    written = instar.export(run, to=format, out=tmp_path / "export", data=data, trust=True)
    assert written.difference < 1e-5
    given = {"input_ids": data.test.column("input_ids")[:9], "attention_mask": data.test.column("attention_mask")[:9]}
    if format == "onnx":
        session = onnxruntime.InferenceSession(written.path)
        (found,) = session.run(["logits"], {name: values.numpy() for name, values in given.items()})
        found = torch.from_numpy(found)
    elif format == "torchscript":
        found = torch.jit.load(str(written.path))(given)
    else:
        found = instar.load(written.path, trust=True)(given)
    torch.testing.assert_close(found, run.model(given).detach(), rtol=1e-5, atol=1e-5)
    if format == "hub":
        card = (Path(written.path) / "README.md").read_text()
        assert "Inputs are several by name\\: input\\_ids int64 \\[6\\], attention\\_mask bool \\[6\\] each." in card
        (program,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
        exec(program.replace("FOLDER", str(written.path)), values := {})
        assert values["logits"].shape == (1, 2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"input_ids": IDS, "attention_mask": MASK}, "data by split need 'train' and 'test'"),
        ({"inputs": IDS, "mask": MASK, "label": LABELS}, "names an input 'inputs'"),
        ({"a b": IDS, "label": LABELS}, "names an input 'a b'"),
        ({"ids": IDS, "label": LABELS, "labels": LABELS}, "choose the labels with label_column"),
        ({"ids": IDS, "mask": MASK.astype(np.uint8), "label": LABELS}, "give a mask as bool or int64"),
        ({"ids": IDS, "mask": MASK[:9], "label": LABELS}, "80 inputs but 9 rows of the column 'mask'"),
        ({"ids": IDS, "mask": np.where(MASK, 1.0, np.nan), "label": LABELS}, "NaN or infinity"),
        (
            {"train": {"ids": IDS, "label": LABELS}, "test": {"words": IDS, "label": LABELS}},
            "must have the same names in all splits",
        ),
        (
            {"train": {"ids": IDS, "label": LABELS}, "test": {"ids": IDS[:, :4], "label": LABELS}},
            "one shape in all splits",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_named(given, sentence):
    with pytest.raises(DataError, match=sentence):
        load_data(given)


def test_what_cannot_take_them_is_told_in_a_sentence(tmp_path, data, network):
    with pytest.raises(
        MismatchError, match="model 'mlp' takes one tensor, and the data have several inputs: input_ids"
    ):
        instar.train(data, "mlp", out=tmp_path / "run")
    with pytest.raises(MismatchError, match=r"reads one tensor, and the data have several .* column='input_ids'"):
        instar.train(data, network, out=tmp_path / "run", reader="Pixels(4)")
    with pytest.raises(ConfigError, match=r"Named\(mask\) must be the reader of one column"):
        parse_reader("Named(mask=3)")
    with pytest.raises(DataError, match="choose another name"):
        load_data(split(ids=IDS, mask=MASK, label=LABELS), columns={"mask": {"train": EXTRA[:60]}})
    run = instar.train(data, network, out=tmp_path / "run", epochs=1)
    with pytest.raises(DataError, match="has no column 'input_ids'"):
        instar.evaluate(run, data=load_data((IDS.astype(float), LABELS)))
    with pytest.raises(MismatchError, match="'attention_mask' is missing, found: input_ids"):
        instar.predict(run, {"input_ids": IDS})
    with pytest.raises(MismatchError, match=r"'input_ids' has shape .4. and type int64, and the run .6."):
        instar.predict(run, {"input_ids": IDS[:, :4], "attention_mask": MASK})
    with pytest.raises(MismatchError, match=r"takes arrays by name, input_ids .6., attention_mask .6. per sample"):
        instar.predict(run, "a.png")
    with pytest.raises(MismatchError, match="reads tensors by name, and 'attention_mask' is missing"):
        run.model({"input_ids": torch.zeros(1, 6, dtype=torch.int64)})


def test_only_their_own_columns_reach_a_student(tmp_path, data, network):
    secret = load_data(split(ids=IDS, mask=MASK, label=LABELS), columns={"secret": {"train": EXTRA[:60]}})
    for reader in ("AsIs('secret')", "Named(input_ids=AsIs('ids'), attention_mask=AsIs('secret'))"):
        with pytest.raises(ConfigError, match="its reader names the column 'secret'"):
            instar.train(secret, network, out=tmp_path / "run", reader=reader)


def test_their_names_order_and_values_are_part_of_the_fingerprint(data):
    others = [
        split(input_ids=IDS, attention_mask=MASK.astype(int), label=LABELS),
        split(attention_mask=MASK, input_ids=IDS, label=LABELS),
        split(input_ids=IDS, mask=MASK, label=LABELS),
    ]
    found = {load_data(other).fingerprints()["train"] for other in others}
    assert len(found | {data.fingerprints()["train"]}) == 4
    again = load_data(split(input_ids=IDS, attention_mask=MASK, label=LABELS))
    assert again.fingerprints() == data.fingerprints()
    assert "inputs input_ids [6] int64, attention_mask [6] bool" in data.describe()


def test_a_normalised_network_standardises_each_with_its_own_statistics():
    both = {"words": (torch.tensor([2.0]), torch.tensor([4.0]))}
    adding = type("Adding", (nn.Module,), {"forward": lambda self, words, extra: words + extra})()
    model = Normalised(adding, torch.zeros(1), torch.ones(1), statistics=both)
    found = model({"words": torch.tensor([[10.0]]), "extra": torch.tensor([[51]], dtype=torch.uint8)})
    assert found.item() == pytest.approx((10 - 2) / 4 + 51 / 255)
    alone = Normalised(adding, torch.tensor(2.0), torch.tensor(4.0))
    with pytest.raises(MismatchError, match="mean and std of a Normalised network are those of one tensor"):
        alone({"words": torch.zeros(1, 1), "extra": torch.zeros(1, 1)})
    assert set(model.state_dict()) == {"mean", "std", "statistics.words.mean", "statistics.words.std"}


def test_a_run_records_what_it_needs_for_another_start(tmp_path, data, network):
    first = instar.train(data, network, out=tmp_path / "first", epochs=1)
    again = instar.train(data, first.model, out=tmp_path / "again", epochs=1, start=tmp_path / "first", **PLAIN)
    assert again.model.reader == first.model.reader
    assert Run(tmp_path / "again").complete
