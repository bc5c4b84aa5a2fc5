"""Text classifiers of Transformers, as teachers and as students, with words and a mask of their padding by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

import instar
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models.sequence_classifier import SequenceClassifier
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

DRAWS = np.random.default_rng(0)
MASK = np.arange(8) < DRAWS.integers(3, 9, 60)[:, None]
IDS = np.where(MASK, DRAWS.integers(1, 30, (60, 8)), 0)
LABELS = np.where(IDS[:, 0] > 15, "good", "bad")


def write_model(folder: Path, names: tuple[str, ...] = ("good", "bad")) -> Path:
    """Write a tiny classifier with random weights, as Transformers saves one."""
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    sizes = {"vocab_size": 30, "max_position_embeddings": 12, "dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
    model = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**sizes, **labels))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def data():
    """40 training and 20 test samples, whose classes the model names in the other order."""
    parts = {"train": slice(0, 40), "test": slice(40, 60)}
    return load_data(
        {
            split: {"input_ids": IDS[rows], "attention_mask": MASK[rows], "label": LABELS[rows]}
            for split, rows in parts.items()
        },
        validation=0,
    )


def forward(folder, data):
    """Logits of Transformers' own forward for the test samples, in the order of the data: bad, good."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    given = {"input_ids": data.test.column("input_ids"), "attention_mask": data.test.column("attention_mask").long()}
    with torch.no_grad():
        return model(**given).logits[:, [model.config.label2id[name] for name in ("bad", "good")]]


def test_a_teacher_is_its_own_forward_and_padding_changes_nothing(tmp_path, data):
    folder = write_model(tmp_path / "model")
    assert instar.evaluate(f"transformers:{folder}", data=data)["samples"] == 20
    batch = next(Loader(data.test, 20, seed=0).in_order())
    found = as_teacher(f"transformers:{folder}").targets(batch).logits()[:, [1, 0]]  # the model's own order
    torch.testing.assert_close(found, forward(folder, data), rtol=1e-5, atol=1e-5)
    network = SequenceClassifier(str(folder)).eval()
    for row in range(5):
        words = torch.from_numpy(IDS[40 + row : 41 + row, : MASK[40 + row].sum()])
        alone = network(input_ids=words)
        torch.testing.assert_close(alone[:, [1, 0]], found[row : row + 1], rtol=1e-5, atol=1e-5)


def test_a_student_trains_and_returns_to_transformers(tmp_path, data):
    folder = write_model(tmp_path / "model")
    student = instar.distill(
        data, f"transformers:{folder}", f"transformers:{folder}", out=tmp_path / "run", epochs=1, learning_rate=0.01
    )
    written = instar.export(student, to="transformers", out=tmp_path / "export", data=data)
    assert written.difference < 1e-5
    again = instar.load(tmp_path / "run")
    given = {"input_ids": data.test.column("input_ids"), "attention_mask": data.test.column("attention_mask")}
    torch.testing.assert_close(again(given), forward(tmp_path / "export", data), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(again(given), forward(folder, data), atol=1e-3)  # it has learnt something
    scores = instar.predict_proba(student, {"input_ids": IDS[40:], "attention_mask": MASK[40:]})
    np.testing.assert_allclose(scores, again(given).softmax(1).detach(), rtol=1e-4, atol=1e-6)
    hub = instar.export(student, to="hub", out=tmp_path / "hub", data=data)
    torch.testing.assert_close(instar.load(hub.path)(given), again(given))


def test_tune_builds_it_for_the_inputs_that_its_trials_read(tmp_path, data):
    folder = f"transformers:{write_model(tmp_path / 'model')}"
    data = data.select(validation=0.25)
    found = instar.tune(
        data, folder, folder, out=tmp_path / "tuned", temperatures=[1, 2], weights=[0.5], seeds=2, epochs=1
    )
    assert len(found.cells) == 2


def test_what_it_does_not_take_is_told(tmp_path, data):
    folder = write_model(tmp_path / "model")
    with pytest.raises(MismatchError, match=r"takes input_ids and a mask of their padding \(attention_mask\) by name"):
        instar.train(load_data((IDS, LABELS), inputs="tokens"), f"transformers:{folder}", out=tmp_path / "run")
    longer = {"input_ids": np.tile(IDS, (1, 2)), "label": LABELS}
    with pytest.raises(MismatchError, match="allows 12 positions, but the data have 16"):
        instar.train(load_data(longer), f"transformers:{folder}", out=tmp_path / "run")
    odd = {"input_ids": IDS, "attention_masks": MASK, "label": LABELS}
    with pytest.raises(MismatchError, match="has no argument 'attention_masks'; did you mean 'attention_mask'"):
        instar.train(load_data(odd), f"transformers:{folder}", out=tmp_path / "run")
