"""Terms of encoders give what Transformers' own hidden states and attentions give, and padding changes none of them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import instar
from instar.data import Batch, Data, load_data
from instar.errors import MismatchError
from instar.models.sequence_classifier import SequenceClassifier
from instar.objectives import Attentions, HiddenStates, ValueRelations
from instar.runs.run import Run

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

DRAWS = np.random.default_rng(0)
MASK = np.arange(8) < DRAWS.integers(3, 9, 60)[:, None]
IDS = np.where(MASK, DRAWS.integers(1, 30, (60, 8)), 0)
LABELS = np.where(IDS[:, 0] > 15, "good", "bad")
HEADS = 2


def write_encoder(folder: Path, width: int, layers: int) -> Path:
    """Write a tiny BERT with random weights, as Transformers saves one."""
    torch.manual_seed(width)
    # without dropout, so that parts of a batch add up
    sizes = {"hidden_size": width, "intermediate_size": width, "num_hidden_layers": layers}
    config = transformers.BertConfig(
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        vocab_size=30, max_position_embeddings=12, num_attention_heads=HEADS, **sizes,
        id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1}, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A student of two layers, and a teacher of four that is wider."""
    folder = tmp_path_factory.mktemp("encoders")
    return write_encoder(folder / "student", 8, 2), write_encoder(folder / "teacher", 16, 4)


@pytest.fixture
def data() -> Data:
    parts = {"train": slice(0, 40), "test": slice(40, 60)}
    return load_data(
        {
            split: {"input_ids": IDS[rows], "attention_mask": MASK[rows], "label": LABELS[rows]}
            for split, rows in parts.items()
        },
        validation=0,
    )


def layer(number: int, part: str = "") -> str:
    return f"model.bert.encoder.layer.{number}{part}"


SELF = ".attention.self"
QUERIES, KEYS, VALUES = (
    {layer(own, f"{SELF}.{name}"): layer(theirs, f"{SELF}.{name}") for own, theirs in ((0, 1), (1, 3))}
    for name in ("query", "key", "value")
)


def answers(folder: Path) -> Any:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    given = {"input_ids": torch.from_numpy(IDS[:4]), "attention_mask": torch.from_numpy(MASK[:4]).long()}
    with torch.no_grad():
        return model(**given, output_hidden_states=True, output_attentions=True)


def outputs(folder: Path, names: list[str]) -> dict[str, Tensor]:
    network, found = SequenceClassifier(str(folder)).eval(), {}
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: found.update({name: output[0] if isinstance(output, tuple) else output})
        )
    with torch.no_grad():
        network(input_ids=torch.from_numpy(IDS[:4]), attention_mask=torch.from_numpy(MASK[:4]))
    return found


def losses(term: Any, encoders: tuple[Path, Path]) -> Tensor:
    mask = torch.from_numpy(MASK[:4])
    own, theirs = outputs(encoders[0], list(term.layers)), outputs(encoders[1], list(term.layers.values()))
    return term.of_layers(own, theirs, replace(Batch.of_labels(torch.zeros(4)), attention_mask=mask))


def test_hidden_states_are_those_of_transformers(encoders: tuple[Path, Path]) -> None:
    term = HiddenStates({layer(3): layer(1)}, projection=False)
    found = losses(term, (encoders[1], encoders[1]))
    states = answers(encoders[1]).hidden_states
    for row in range(4):
        kept = MASK[row]
        wanted = (states[4][row, kept] - states[2][row, kept]).square().mean()
        torch.testing.assert_close(found[row], wanted, rtol=1e-5, atol=1e-6)


def test_divergences_of_attentions_are_those_of_transformers(encoders: tuple[Path, Path]) -> None:
    found = losses(Attentions(QUERIES, keys=KEYS, heads=HEADS, divergence=True), encoders)
    own, theirs = (answers(folder).attentions for folder in encoders)
    for row in range(4):
        kept = int(MASK[row].sum())
        wanted = torch.zeros(())
        for student, teacher in ((own[0], theirs[1]), (own[1], theirs[3])):
            q, p = (each[row, :, :kept, :kept] for each in (student, teacher))
            wanted = wanted + (p * (p / q).log()).sum(-1).mean()
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-6)


def test_scores_and_relations_are_those_of_loops_by_hand(encoders: tuple[Path, Path]) -> None:
    scores = losses(Attentions(QUERIES, keys=KEYS, heads=HEADS), encoders)
    relations = losses(ValueRelations(VALUES, heads=HEADS), encoders)
    parts = [outputs(encoders[0], [*QUERIES, *KEYS, *VALUES])]
    parts.append(outputs(encoders[1], [*QUERIES.values(), *KEYS.values(), *VALUES.values()]))

    def products(first: Tensor, second: Tensor, head: int) -> Tensor:
        width = first.shape[-1] // HEADS
        piece = slice(head * width, (head + 1) * width)
        return first[:, piece] @ second[:, piece].T / math.sqrt(width)

    for row in range(4):
        kept = MASK[row]
        by_score, by_relation = 0.0, 0.0
        for (q, q_t), (k, k_t), (v, v_t) in zip(QUERIES.items(), KEYS.items(), VALUES.items(), strict=True):
            own = {name: parts[0][name][row, kept] for name in (q, k, v)}
            theirs = {name: parts[1][name][row, kept] for name in (q_t, k_t, v_t)}
            for head in range(HEADS):
                difference = products(own[q], own[k], head) - products(theirs[q_t], theirs[k_t], head)
                by_score += float(difference.square().mean()) / HEADS
                p = products(theirs[v_t], theirs[v_t], head).softmax(1)
                log_q = products(own[v], own[v], head).log_softmax(1)
                by_relation += float((p * (p.log() - log_q)).sum(1).mean()) / HEADS
        assert math.isclose(float(scores[row]), by_score, rel_tol=1e-4)
        assert math.isclose(float(relations[row]), by_relation, rel_tol=1e-4, abs_tol=1e-7)


TERMS = (
    f"SoftTargets(2) + HiddenStates({{'{layer(0)}': '{layer(1)}'}}) + Attentions({QUERIES}, keys={KEYS}, heads=2)"
    f" + ValueRelations({VALUES}, heads=2)"
)


def distil(encoders: tuple[Path, Path], data: Any, out: Path, **settings: Any) -> Run:
    student, teacher = encoders
    settings = {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "log_every": 1, **settings}
    return instar.distill(
        data, f"transformers:{teacher}", f"transformers:{student}", out=out, objective=TERMS, **settings
    )


def test_a_student_learns_from_all_three_in_parts_of_a_batch(
    encoders: tuple[Path, Path], data: Data, tmp_path: Path
) -> None:
    whole = distil(encoders, data, tmp_path / "whole")
    parts = distil(encoders, data, tmp_path / "parts", micro_batches=2)
    found, wanted = parts.model.state_dict(), whole.model.state_dict()
    for name, weights in wanted.items():
        torch.testing.assert_close(found[name], weights, rtol=1e-3, atol=1e-4)
    line = next(one for one in whole.history() if one["kind"] == "train")
    assert {"soft_targets", "hidden_states", "attentions", "value_relations"} <= line.keys()
    assert whole.result["adapter_parameters"] == 8 * 16


def test_a_student_that_reads_each_length_apart_learns_in_parts_of_a_batch(
    encoders: tuple[Path, Path], data: Data, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = transformers.ConvBertConfig(
        vocab_size=30, hidden_size=8, embedding_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        hidden_dropout_prob=0, attention_probs_dropout_prob=0, classifier_dropout=0, num_labels=2,
        id2label={0: "bad", 1: "good"}, label2id={"bad": 0, "good": 1},
    )  # fmt: skip
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "student")
    objective = f"SoftTargets(2) + 3 * HiddenStates({{'model.convbert.encoder.layer.0': '{layer(3)}'}})"
    settings = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01, "optimiser": "sgd", "log_every": 1}
    losses = []
    for parts in (1, 3):
        run = instar.distill(
            data, f"transformers:{encoders[1]}", f"transformers:{tmp_path / 'student'}", out=tmp_path / str(parts),
            objective=objective, micro_batches=parts, **settings,
        )  # fmt: skip
        losses.append([line["hidden_states"] for line in run.history() if line["kind"] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_teacher_that_reads_other_tokens_is_refused(encoders: tuple[Path, Path], data: Data, tmp_path: Path) -> None:
    class Shifted(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = SequenceClassifier(str(encoders[1]))

        def forward(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
            return self.inner(input_ids=tokens, attention_mask=attention_mask)

    teacher = instar.Module(
        Shifted(),
        classes=("bad", "good"),
        reader="Named(tokens=AsIs('input_ids'), attention_mask=AsIs('attention_mask'))",
    )
    with pytest.raises(MismatchError, match="reads other tokens than the student"):
        instar.distill(
            data, teacher, f"transformers:{encoders[0]}", out=tmp_path / "run", epochs=1,
            objective=f"SoftTargets(2) + HiddenStates({{'{layer(0)}': 'inner.{layer(1)}'}})",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        (f"HiddenStates({{'{layer(0)}': '{layer(1)}'}}, projection=False)", r"their shapes are \[8, 8\] and \[8, 16\]"),
        (f"Attentions({QUERIES}, keys={KEYS}, heads=3)", "their width of 8 cannot be shared by heads=3"),
        (f"Attentions({QUERIES}, keys={KEYS})", "give the number of heads"),
        (f"Attentions({QUERIES}, heads=2)", "got 2 of queries and 0 of keys"),
        (f"ValueRelations({{'{layer(0, '.attention.self.valu')}': '{layer(1)}'}}, heads=2)", "the nearest are"),
        (
            f"Relational({{'{layer(0)}': '{layer(1)}'}})",
            "Relational compares whole samples, and the layer .* a row for each",
        ),
        ("HiddenStates({'model.bert.pooler': 'model.bert.pooler'})", r"it needs sequences \[position, width\]"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(
    encoders: tuple[Path, Path], data: Data, tmp_path: Path, objective: str, problem: str
) -> None:
    student, teacher = encoders
    with pytest.raises(instar.InstarError, match=problem):
        instar.distill(
            data, f"transformers:{teacher}", f"transformers:{student}", out=tmp_path / "run", objective=objective
        )
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
