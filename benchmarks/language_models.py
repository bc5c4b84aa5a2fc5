"""Epochs of language models on random words: a small Llama and an LSTM, by Instar and by hand.

The loops by hand run in a process of their own, after an epoch that is not counted. There the C library still adapts
its allocator to what is freed; it stops for good once Instar has set its thresholds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import ours
from instar.config import DataConfig
from instar.data import Data, Loader, Samples
from instar.data.text import cut_windows
from instar.models import LSTM, CausalLM
from instar.procedures.label import label
from instar.teachers import Stored
from measure import Topic, seconds
from memory import in_new_process

WORDS = 10_000


@dataclass(frozen=True)
class Shape:
    """Amount of text.

    Args:
        steps: steps per epoch.
        batch: windows per batch.
        length: words per window.
    """

    steps: int
    batch: int
    length: int

    def text(self, *, is_stream: bool) -> Samples:
        """Return random words, all equally likely; the time does not depend on them."""
        tokens = np.random.default_rng(0).integers(0, WORDS, self.steps * self.batch * self.length).astype(np.int32)
        names = tuple(str(number) for number in range(WORDS))
        return Samples.all_of(cut_windows("random words", tokens, names, 0, self.length, is_stream=is_stream))


def measure(topic: Topic, steps: int) -> None:
    """Compare epochs of a distilled Llama with one on labels, and of an LSTM with the same LSTM by hand."""
    llama(topic, Shape(steps, 16, 64))
    lstm(topic, Shape(steps, 20, 35))


def llama(topic: Topic, shape: Shape) -> None:
    """Compare a student of 2 x 128 with a teacher of 4 x 256 with the student on labels, by hand in float32."""
    kinds = {"stored": "from stored top-32 targets", "online": "taught live by one of 4 x 256", "labels": "on labels"}
    names = {
        (kind, precision): f"Llama of 2 x 128 {text} in {precision}, over labels by hand"
        for kind, text in kinds.items()
        for precision in ("float32", "bfloat16")
    }
    if not any(map(topic.wanted, names.values())):
        return
    text = shape.text(is_stream=False)
    training = {"optimiser": "adamw", "batch_size": shape.batch, "log_every": 50}
    with llama_folder(128, 2) as small, llama_folder(256, 4) as large, tempfile.TemporaryDirectory() as store:
        student = partial(CausalLM, small, False, input_shape=(shape.length,), num_classes=WORDS)
        teacher = ours.normalised(CausalLM(large, False, input_shape=(shape.length,), num_classes=WORDS), text)
        data = Data(DataConfig(source="arrays", validation=0), text, None, text)
        kept = label(data, teacher, out=store, keep="top:32", held_out=False, batch_size=shape.batch, show=False)
        taught = {"stored": {"teacher": Stored(kept)}, "online": {"teacher": teacher}, "labels": {}}
        cases = {}
        for (kind, precision), name in names.items():
            objective = "SoftTargets(1)" if taught[kind] else "HardLabels()"
            options = training | {"precision": precision, "teacher_precision": precision}
            cases[name] = partial(ours_seconds, student, text, objective=objective, **taught[kind], **options)
        topic.compare_all(cases, partial(in_new_process, llama_by_hand, student, text, shape.batch), turns=2)


def ours_seconds(make: partial[nn.Module], text: Samples, **options: object) -> float:
    """Return the seconds of an epoch of the real loop with a new network."""
    return ours.epoch(make(), text, **options)


@contextmanager
def llama_folder(width: int, layers: int) -> Iterator[str]:
    """Make a temporary folder with the configuration of a Llama."""
    from transformers import LlamaConfig

    with tempfile.TemporaryDirectory() as folder:
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=False,
        ).save_pretrained(folder)
        yield folder


def llama_by_hand(make: partial[CausalLM], text: Samples, batch: int) -> float:
    """Return the seconds of an epoch on labels in plain PyTorch."""
    model = make().model.train()
    inputs, labels = text.inputs().long(), text.labels
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(inputs)).split(batch):
            logits = model(input_ids=inputs[rows], use_cache=False).logits
            loss = F.cross_entropy(logits.flatten(0, 1), labels[rows].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    epoch()
    return seconds(epoch)


def lstm(topic: Topic, shape: Shape) -> None:
    """Compare an LSTM that carries its hidden state with a loop by hand that does so too."""
    case = "LSTM of 2 x 200 on labels, hidden state carried, over the same by hand"
    if not topic.wanted(case):
        return
    text = shape.text(is_stream=True)
    training = {"optimiser": "sgd", "momentum": 0.0, "batch_size": shape.batch, "gradient_clip": 0.25, "log_every": 50}
    make = partial(LSTM, 200, 2, 0.2, input_shape=(shape.length,), num_classes=WORDS)
    mine = partial(ours_seconds, make, text, objective="HardLabels()", **training)
    topic.compare(case, mine, partial(in_new_process, lstm_by_hand, make, text, shape.batch))


def lstm_by_hand(make: partial[LSTM], text: Samples, batch: int) -> float:
    """Return the seconds of an epoch on labels in plain PyTorch, with the state carried from window to window."""
    model = make().train()
    # the same columns of the text as Instar's, made before the clock starts
    batches = [
        (found.inputs, found.labels) for found in map(Loader(text, batch, seed=0).batch, range(len(text) // batch))
    ]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, fused=True)

    def epoch() -> None:
        state: tuple[torch.Tensor, ...] = ()
        for inputs, labels in batches:
            logits, state = model(inputs, tuple(tensor.detach() for tensor in state))
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            optimiser.step()

    epoch()
    return seconds(epoch)
