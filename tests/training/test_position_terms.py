"""Terms of hidden layers where each position has a label: the loss of words, tokens and frames is that of theirs."""

import json
import math

import numpy as np
import pytest
import torch
from tests.models.tiny_chat import ROWS, save_chat_tokenizer, save_small_model, write_rows
from tests.models.tiny_tags import make_sentences, write_sentences, write_tagger

import instar
from instar.config import DataConfig
from instar.data import UNLABELLED, Data, Loader, Samples, Source, load_data
from instar.errors import MismatchError
from instar.models import FrameNet
from instar.models.normalised import reader_in
from instar.objectives import parse_objective
from instar.objectives.values import Hidden
from instar.teachers import as_teacher

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

ONE = {"epochs": 1, "batch_size": 8, "optimiser": "sgd", "learning_rate": 0.05, "log_every": 1}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Sentences with a class for each word, a teacher of two layers and a student of one."""
    folder = tmp_path_factory.mktemp("words")
    data = load_data(str(write_sentences(folder / "data", train=make_sentences(30), test=make_sentences(8, seed=1))))
    student, teacher = (write_tagger(folder / f"{n}", layers=n, width=8 * n) for n in (1, 2))
    return data, f"transformers:{student}", f"transformers:{teacher}"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Instructions, whose prompts have no loss, one or more in each window, and two language models."""
    folder = tmp_path_factory.mktemp("texts")
    rows, tokenizer = write_rows(folder / "data", train=ROWS, test=ROWS[:4]), save_chat_tokenizer(folder / "tokenizer")
    data = [load_data(rows, tokenizer=tokenizer, length=64, validation=0, packing=packing) for packing in (False, True)]
    sizes = {"vocab_size": len(data[0].classes), "intermediate_size": 24}
    names = [save_small_model(folder / str(width), hidden_size=width, **sizes) for width in (16, 24)]
    return [(one, *(f"transformers:{name}" for name in names)) for one in data]


def compare(term, data, student, teacher):
    """Return the sum of a term over a batch, the batch, and the outputs of its layers for both."""
    batch, term = Loader(data.train, 6, seed=0).batch(0), parse_objective(term)
    own, theirs = as_teacher(student), as_teacher(teacher)
    found = [own.answer(batch, term.student_layers).features, theirs.answer(batch, term.teacher_layers).features]
    hidden = Hidden.of(*found, torch.nn.ModuleDict(), batch.read(reader_in(own.network)))
    return float(term(torch.zeros(()), batch, None, hidden=hidden)[0]), batch, found


def relations(values, heads, at, seen):
    """Return log-probabilities `[heads, seen]` of the products of the values at a place with those that it sees."""
    parts = values.unflatten(-1, (heads, -1))
    return (torch.einsum("hd,jhd->hj", parts[at], parts[seen]) / math.sqrt(parts.shape[-1])).log_softmax(1)


def test_a_word_has_the_loss_at_its_first_token(words):
    data, _, teacher = words
    layer = "model.bert.encoder.layer"
    for term in ("HiddenStates", "Hints"):
        owned = "projection=False" if term == "HiddenStates" else "regressor=False"
        found, batch, _ = compare(f"{term}({{'{layer}.0': '{layer}.1'}}, {owned})", data, teacher, teacher)
        tokenizer = transformers.AutoTokenizer.from_pretrained(teacher.removeprefix("transformers:"))
        model = transformers.AutoModelForTokenClassification.from_pretrained(teacher.removeprefix("transformers:"))
        wanted = 0.0
        for sentence in data.train.source.columns["words"].lists(batch.ids):
            made = tokenizer(sentence, is_split_into_words=True, return_tensors="pt")
            with torch.no_grad():
                states = model.eval()(**made, output_hidden_states=True).hidden_states
            firsts = [made.word_ids(0).index(word) for word in range(len(sentence))]
            wanted += float((states[1] - states[2])[0, firsts].square().mean(1).sum())
        assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("packing", [False, True])
def test_a_token_has_the_loss_at_its_position_and_looks_back_in_its_own_text(texts, packing):
    data, student, teacher = texts[packing]
    name = "model.model.layers.1.self_attn.v_proj"
    found, batch, (own, theirs) = compare(f"ValueRelations({{'{name}': '{name}'}}, heads=2)", data, student, teacher)
    starts = batch.column("inputs")["position_ids"] if data.train.source.input_names else None
    wanted, counted = 0.0, 0
    for row, at in batch.mask.nonzero().tolist():
        first = 0 if starts is None else at - int(starts[row, at])
        log_q, log_p = (relations(side[name][row].double(), 2, at, slice(first, at + 1)) for side in (own, theirs))
        wanted += float((log_p.exp() * (log_p - log_q)).sum(1).mean())
        counted += 1
    assert counted == batch.count() < batch.mask.numel()  # prompts have no loss
    assert found == pytest.approx(wanted, rel=1e-4)
    queries, keys = (f"model.model.layers.0.self_attn.{one}_proj" for one in "qk")
    term = f"Attentions({{'{queries}': '{queries}'}}, keys={{'{keys}': '{keys}'}}, heads=2)"
    found, batch, sides = compare(term, data, student, teacher)
    wanted = 0.0
    for row, at in batch.mask.nonzero().tolist():
        first = 0 if starts is None else at - int(starts[row, at])
        scores = []
        for side in sides:
            q, k = (side[one][row].unflatten(-1, (2, -1)) for one in (queries, keys))
            scores.append(torch.einsum("hd,jhd->hj", q[at], k[first : at + 1]) / math.sqrt(q.shape[-1]))
        wanted += float((scores[0] - scores[1]).square().mean())
    assert found == pytest.approx(wanted, rel=1e-4)


def frames():
    draws = np.random.default_rng(0)
    lengths = torch.from_numpy(draws.integers(3, 9, 31))
    labels = torch.from_numpy(draws.integers(0, 5, (31, 8)))
    labels[torch.arange(8) >= lengths[:, None]] = UNLABELLED
    inputs = torch.from_numpy(draws.standard_normal((31, 8, 3)).astype(np.float32))
    samples = Samples.all_of(Source("recordings", inputs, labels, tuple("abcde"), lengths=lengths))
    return Data(DataConfig(source="arrays"), samples, None, samples)


INSIDE, LINES = "model.bert.encoder.layer", "model.model.layers"
QUERY, KEY, VALUE = (
    json.dumps({f"{INSIDE}.0.attention.self.{one}": f"{INSIDE}.1.attention.self.{one}"})
    for one in ("query", "key", "value")
)
TERMS = {
    "words": f"HiddenStates({{'{INSIDE}.0': '{INSIDE}.1'}}) + Attentions({QUERY}, keys={KEY}, heads=2)"
    f" + ValueRelations({VALUE}, heads=2)",
    "texts": f"HiddenStates({{'{LINES}.?': '{LINES}.?'}}) + Hints({{'{LINES}.1': '{LINES}.1'}})",
    "frames": "Hints({'hidden1': 'hidden1'})",
}


@pytest.mark.parametrize("kind", TERMS)
def test_a_student_learns_in_parts_of_a_batch_as_from_the_whole(words, texts, tmp_path, kind):
    data, student, teacher = {
        "words": words, "texts": texts[True], "frames": (frames(), FrameNet([4], (1, 1)), FrameNet([6], (1, 1)))
    }[kind]  # fmt: skip
    if kind == "frames":
        teacher = instar.train(data, teacher, out=tmp_path / "teacher", **ONE)
    objective = f"SoftTargets(2) + {TERMS[kind]}"
    whole, parts = (
        instar.distill(
            data, teacher, student, out=tmp_path / f"{count}", objective=objective, micro_batches=count, **ONE
        )
        for count in (1, 3)
    )
    lines, others = ([one for one in run.history() if one["kind"] == "train"] for run in (whole, parts))
    names = parse_objective(objective)
    for line, other in zip(lines, others, strict=True):
        assert all(line[term.name] > 0 for _, term in names.parts)
        assert other["loss"] == pytest.approx(line["loss"], rel=1e-4)
    assert instar.report([whole.path], out=tmp_path / "report.html")


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("AttentionTransfer({'0': '0'})", "they have 6 and 4 places"),
        ("SimilarityPreserving({'0': '0'})", "HiddenStates, Attentions, ValueRelations and Hints compare positions"),
        ("Hints({'0': '0'}, regressor=False)", r"their shapes are \[6\] and \[4\]"),
        ("Attentions({'0': '0'}, keys={'1': '1'}, heads=1)", "no attention_mask, so padding cannot be told"),
        ("Attentions({'0': '0'}, keys={'0': '0'}, heads=1)", "takes '0' for queries and for keys"),
        ("Contrastive({'0': '0'})", "labels are at positions"),
    ],
)
def test_terms_without_a_loss_for_each_position_are_refused(term, problem, tmp_path):
    networks = [
        torch.nn.Sequential(torch.nn.Linear(3, n), torch.nn.Linear(n, n), torch.nn.Linear(n, 5)) for n in (4, 6)
    ]
    with pytest.raises(MismatchError, match=problem):
        instar.distill(frames(), *networks, out=tmp_path / "run", objective=f"SoftTargets(2) + {term}", **ONE)
    assert not (tmp_path / "run").exists()
