"""The loss of instructions equals a loop over examples that is written by hand, for labels and for soft targets."""

import pytest
import torch
from tests.models.tiny_chat import ROWS, as_messages, save_chat_tokenizer, save_small_model
from torch.nn.functional import log_softmax

from instar.data import Loader, load_data
from instar.models import CausalLM
from instar.objectives import parse_objective
from instar.procedures.label import label
from instar.teachers import Module, Remembered, Stored
from instar.teachers.teacher import query

transformers = pytest.importorskip("transformers", reason="needs the extra transformers")

TEMPERATURE, WEIGHT = 2.0, 0.5
OBJECTIVE = f"SoftTargets({TEMPERATURE}) + {WEIGHT} * HardLabels()"
TARGETS = ("live", "memory", "store", "top classes")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("losses")
    save_chat_tokenizer(folder / "tokenizer")
    save_small_model(folder / "teacher", intermediate_size=24)
    save_small_model(folder / "student", "GPT2", n_positions=64)
    return folder


def loss_by_hand(folders, form):
    """Return the mean loss over the tokens of completions, and its gradients."""
    words = transformers.AutoTokenizer.from_pretrained(folders / "tokenizer")
    teacher, student = (
        transformers.AutoModelForCausalLM.from_pretrained(folders / name).eval() for name in ("teacher", "student")
    )
    total, count = 0, 0
    for row in ROWS:
        if form == "messages":
            prompt = words.apply_chat_template(as_messages(row)[:1], tokenize=False, add_generation_prompt=True)
            tokens, given = words.encode(prompt + row["completion"].strip() + "</s>"), len(words.encode(prompt))
        else:
            tokens = [*words.encode(row["prompt"]), *words.encode(row["completion"]), words.eos_token_id]
            given = len(words.encode(row["prompt"]))
        # padding of the vocabulary is no token
        ours = student(torch.tensor([tokens])).logits[0, given - 1 : -1, : len(words)]
        with torch.no_grad():
            theirs = teacher(torch.tensor([tokens])).logits[0, given - 1 : -1, : len(words)]
        learnt = torch.tensor(tokens[given:])
        soft = -(torch.softmax(theirs / TEMPERATURE, -1) * log_softmax(ours / TEMPERATURE, -1)).sum()
        hard = -log_softmax(ours, -1).gather(1, learnt[:, None]).sum()
        total, count = total + TEMPERATURE**2 * soft + WEIGHT * hard, count + len(learnt)
    (total / count).backward()
    return total / count, {name: weight.grad for name, weight in student.named_parameters()}


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("form", ["prompt and completion", "messages"])
def test_the_loss_and_its_gradients_are_those_of_a_loop_by_hand(folders, tmp_path, form, packing):
    rows = ROWS if form != "messages" else [{"messages": as_messages(row)} for row in ROWS]
    settings = {"tokenizer": str(folders / "tokenizer"), "length": 64, "validation": 0, "packing": packing}
    data = load_data((rows, rows), **settings)
    expected, gradients = loss_by_hand(folders, form)
    objective = parse_objective(OBJECTIVE)
    live = Module(CausalLM(str(folders / "teacher"), num_classes=len(data.classes)))
    loader = Loader(data.train, 5, seed=0)
    stores = {
        keep: label(data, live, out=tmp_path / keep[:3], keep=keep, dtype="float32", temperature=TEMPERATURE).path
        for keep in ("all", f"top:{len(data.classes) - 1}")
    }
    teachers = dict(zip(TARGETS, (live, Remembered(live, loader), *map(Stored, stores.values())), strict=True))
    for name, teacher in teachers.items():
        student = CausalLM(str(folders / "student"), num_classes=len(data.classes)).eval()
        batches = [loader.batch(step) for step in range(loader.steps_per_epoch)]
        count = sum(batch.count() for batch in batches)
        total = 0.0
        for batch in batches:
            inputs = batch.column("inputs")
            logits = student(**inputs) if packing else student(inputs)
            loss, _ = objective(logits, batch, query(teacher, batch))
            (loss / count).backward()
            total += loss.item()
        assert total / count == pytest.approx(expected.item(), rel=1e-5), name
        for weight, value in student.model.named_parameters():
            wanted = gradients[weight]
            torch.testing.assert_close(value.grad, wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item())
