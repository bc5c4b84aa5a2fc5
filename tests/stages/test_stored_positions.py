"""Layers of words, texts and frames in a target store: a row for each position, cut to the longest of a batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.models.tiny_texts import write_classifier, write_tokenizer
from tests.training.test_position_terms import TERMS, frames, texts, words  # noqa: F401 (fixtures)

import instar
from instar.data import Loader, load_data
from instar.errors import MismatchError
from instar.models import FrameNet
from instar.procedures.target_stores import verify_targets
from instar.runs.files import read_tensors
from instar.targets import TargetStore
from instar.teachers import Stored, as_teacher

pytest.importorskip("transformers", reason="needs the extra transformers")

FEW = {"epochs": 2, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.05, "log_every": 1}
EXACT = {"dtype": "float32", "show": False, "held_out": False}
WORDS = ["the", "film", "was", "very", "good", "and", "not", "dull", ",", "it", "is", "warm", "!"]
LAYER = "model.bert.encoder.layer.0"


def assert_close(first: Any, *others: Any) -> None:
    for other in others:
        left, right = (read_tensors(run.weights)[0] for run in (first, other))
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
        losses = [[line["loss"] for line in run.history() if line["kind"] == "train"] for run in (first, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize("kind", TERMS)
def test_a_store_teaches_what_the_live_teacher_teaches(words, texts, tmp_path, kind: str) -> None:  # noqa: F811
    # frames without their neighbours, because those behind the end of these recordings are noise
    data, student, teacher = {
        "words": words, "texts": texts[True], "frames": (frames(), FrameNet([4], (0, 0)), FrameNet([6], (0, 0)))
    }[kind]  # fmt: skip
    if kind == "frames":
        teacher = instar.train(data, teacher, out=tmp_path / "teacher", **FEW)
    settings = FEW | {"objective": f"SoftTargets(2) + {TERMS[kind]}", "micro_batches": 2}
    live = instar.distill(data, teacher, student, out=tmp_path / "live", **settings)
    made = {"targets": "store", "store": {"dtype": "float32"}}
    own = instar.distill(data, teacher, student, out=tmp_path / "own", **settings | made)
    layers = list(TargetStore(own.path / "targets").layers())
    given = instar.label(data, teacher, out=tmp_path / "store", features=layers, **EXACT)
    assert_close(live, own, instar.distill(data, given, student, out=tmp_path / "given", **settings))


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Texts of one to nine words, and a classifier that reads them."""
    folder = tmp_path_factory.mktemp("reviews")
    for split, count in (("train", 40), ("test", 8)):
        rows = [(" ".join(WORDS[i % 4 : i % 4 + 1 + i % 9]), ("good", "bad")[i % 2]) for i in range(count)]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *(f'"{text}",{name}' for text, name in rows)]))
    return load_data(str(folder), validation=0), write_classifier(folder / "model")


def test_texts_are_padded_in_the_store_and_cut_to_the_longest_of_a_batch(tmp_path, reviews) -> None:
    data, model = reviews
    teacher = f"transformers:{model}"
    store = instar.label(data, teacher, out=tmp_path / "store", features=LAYER, batch_size=8, shard_rows=1, **EXACT)
    assert verify_targets(store, teacher=teacher).difference < 1e-5
    assert store.layers() == {LAYER: (11, 16)}  # nine words, and a token at each end
    stored, live = Stored(store), as_teacher(teacher)
    lengths = set()
    for start in range(0, 40, 3):
        batch = Loader(data.train, 20, seed=1).batch(0).part(start % 20, start % 20 + 3)
        found, known = (one.answer(batch, [LAYER]).features[LAYER] for one in (stored, live))
        mask = batch.read(live.network.reader)["attention_mask"]
        lengths.add(found.shape[1])
        assert found.shape == known.shape
        torch.testing.assert_close(found[mask], known[mask], rtol=1e-4, atol=1e-5)
    assert len(lengths) > 1
    objective = f"SoftTargets(2) + HiddenStates({{'{LAYER}': '{LAYER}'}})"
    runs = [
        instar.distill(data, one, teacher, out=tmp_path / name, objective=objective, **FEW | {"micro_batches": 2})
        for name, one in (("live", teacher), ("given", store))
    ]
    assert_close(*runs)


def test_a_student_that_reads_other_tokens_than_the_store_is_refused(tmp_path, reviews) -> None:
    data, model = reviews
    teacher = f"transformers:{model}"
    store = instar.label(data, teacher, out=tmp_path / "store", features=LAYER, **EXACT)
    objective = f"SoftTargets(2) + HiddenStates({{'{LAYER}': '{LAYER}'}})"
    reader = f"Tokens('{write_tokenizer(tmp_path / 'tokens')}', 5)"
    with pytest.raises(MismatchError, match="HiddenStates compares positions, and the teacher reads other tokens than"):
        instar.distill(data, store, teacher, out=tmp_path / "run", objective=objective, reader=reader, **FEW)
    assert not (tmp_path / "run").exists()
