"""Texts: epochs of an encoder of Transformers that another one teaches, and tokenising.

| case | target |
|---|---|
| an encoder of 4 x 128 taught live by one of 6 x 256, over a loop by hand | at most 1.05 |
| the same from a target store, over Instar's own epoch with the live teacher | at most 0.65 |
| tokenising all texts once, over the tokenizer's own call for a list | at most 1.11, 0.9 of its speed |
| tokenising instructions once, over the same for prompts and completions | at most 1.11 |

The loop by hand has its tokens in memory, shuffles the texts, and pads each batch to its longest. Both loops have the
same optimiser, and Instar writes its run folder. The texts are those of rotten_tomatoes, and a WordPiece vocabulary is
trained on them first.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

import ours
from instar.config import DataConfig
from instar.data import Data, Samples, load_data
from instar.data.instructions.encoding import InstructionTokenizer
from instar.data.text_sources import make_text_sources
from instar.models.readers import Tokens
from instar.models.sequence_classifier import SequenceClassifier
from instar.procedures.label import label
from instar.teachers import Stored
from measure import Topic, parser, seconds

VOCABULARY, POSITIONS = 8_000, 128
BATCH = 32
SAMPLES = 8 * BATCH
TEXTS = 2_000
TEMPERATURE = 4.0
LEARNING_RATE = 1e-3


def main() -> None:
    """Measure all cases."""
    topic = Topic("texts", parser(__doc__, "../shared/data/rotten_tomatoes").parse_args())
    data = load_data(topic.arguments.data)
    texts = data.train.source.texts("text").strings()[:TEXTS]
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept)
        write_tokenizer(folder / "tokenizer", texts)
        measure_epochs(topic, data.train, folder)
        measure_tokenising(topic, texts, str(folder / "tokenizer"))
    topic.write()


def write_tokenizer(folder: Path, texts: Sequence[str]) -> None:
    """Train a WordPiece tokenizer, as BERT has one, on texts."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    made = BertWordPieceTokenizer()
    made.train_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
    folder.mkdir()
    made.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=POSITIONS, eos_token="[SEP]")
    tokenizer.save_pretrained(folder)


def write_encoder(folder: Path, layers: int, width: int) -> str:
    """Write the configuration of a classifier with two classes."""
    from transformers import BertConfig

    BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * width,
        max_position_embeddings=POSITIONS,
        architectures=["BertForSequenceClassification"],
    ).save_pretrained(folder)
    return str(folder)


def measure_epochs(topic: Topic, train: Samples, folder: Path) -> None:
    """Compare epochs with a live teacher and with a store."""
    cases = [f"an encoder of 4 x 128 taught by one of 6 x 256, {kind}" for kind in ("live", "from a store")]
    if not any(map(topic.wanted, cases)):
        return
    count = topic.arguments.samples or SAMPLES
    few = take(train, count)
    reader = Tokens(str(folder / "tokenizer")).fitted()
    small, large = (write_encoder(folder / f"{n}-{width}", n, width) for n, width in ((4, 128), (6, 256)))
    make = partial(SequenceClassifier, small, False, num_classes=2)
    teacher = SequenceClassifier(large, False, num_classes=2)
    mine = partial(epoch, make, few, reader)
    queried = ours.normalised(teacher, few, reader).eval()
    data = Data(DataConfig(source="arrays", validation=0), few, None, few)
    kept = label(data, queried, out=folder / "store", held_out=False, batch_size=BATCH, show=False)
    live = partial(mine, queried)
    topic.compare(cases[0], live, partial(by_hand, make, few, reader, teacher), turns=2)
    topic.compare(cases[1], partial(mine, Stored(kept)), live, turns=2)


def take(samples: Samples, count: int) -> Samples:
    """Return the first samples as data of their own, so that a store holds no others."""
    source = samples.source
    given = {"few": [source.texts("text").strings(samples.ids[:count])]}
    return Samples.all_of(make_text_sources(given, {"few": samples.labels[:count].numpy()}, source.classes)["few"])


def epoch(make: partial[nn.Module], samples: Samples, reader: Tokens, teacher: Any) -> float:
    """Return the seconds of an epoch of the real loop with a new student."""
    training = {"optimiser": "adamw", "learning_rate": LEARNING_RATE, "batch_size": BATCH}
    objective = f"SoftTargets({TEMPERATURE})"
    return ours.epoch(make(), samples, teacher=teacher, reader=reader, objective=objective, **training)


def by_hand(make: partial[nn.Module], samples: Samples, reader: Tokens, teacher: SequenceClassifier) -> float:
    """Return the seconds of an epoch in plain PyTorch, whose batches are padded to their longest."""
    student, taught_by = make().model.train(), teacher.model.eval()
    tokens = [torch.tensor(one) for one in reader.tokenizer(samples.source.texts("text").strings())["input_ids"]]
    optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)

    def take_batch(rows: Tensor) -> Mapping[str, Tensor]:
        ids = pad_sequence([tokens[row] for row in rows], batch_first=True)
        return {"input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": torch.zeros_like(ids)}

    def work() -> None:
        for rows in torch.randperm(len(tokens)).split(BATCH):
            batch = take_batch(rows)
            with torch.inference_mode():
                targets = F.softmax(taught_by(**batch).logits / TEMPERATURE, dim=-1)
            found = F.log_softmax(student(**batch).logits / TEMPERATURE, dim=-1)
            # a copy, because autograd refuses to save an inference tensor
            loss = TEMPERATURE**2 * F.kl_div(found, targets.clone(), reduction="batchmean")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return seconds(work)


def measure_tokenising(topic: Topic, texts: list[str], path: str) -> None:
    """Compare the tokens of all texts with the tokenizer's own call, once for texts and once for instructions."""
    reader, words = Tokens(path).fitted(), InstructionTokenizer(path)
    # each text is cut in its middle, so that both cases have the same words
    halves = [(text[: len(text) // 2], text[len(text) // 2 :] or ".") for text in texts]
    rows = [(at, {"prompt": one, "completion": other}) for at, (one, other) in enumerate(halves)]
    parts = [part for both in halves for part in both]
    tokenizer = reader.tokenizer
    topic.compare(
        f"tokenising {len(texts):,} texts", lambda: seconds(lambda: reader.encode(texts)),
        lambda: seconds(lambda: tokenizer(texts)),
    )  # fmt: skip
    topic.compare(
        f"tokenising {len(rows):,} instructions", lambda: seconds(lambda: words.encode_rows(rows, "rows")),
        lambda: seconds(lambda: tokenizer(parts)),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
