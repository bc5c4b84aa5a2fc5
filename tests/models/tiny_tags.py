"""A small classifier of words of Transformers, and sentences with a label for each word."""

import json
from pathlib import Path

import numpy as np
import torch
from tests.models.tiny_texts import WORDS, write_tokenizer

TAGS = ("O", "B-PER", "I-PER")
LENGTH = 24


def write_tagger(folder: Path, names: tuple[str, ...] = TAGS, *, layers: int = 1, width: int = 16) -> Path:
    """Write a tiny token classifier with random weights and its tokenizer, as Transformers saves them."""
    import transformers

    torch.manual_seed(len(names))
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: at for at, name in enumerate(names)}}
    model = transformers.BertForTokenClassification(
        transformers.BertConfig(
            vocab_size=5 + len(WORDS), max_position_embeddings=LENGTH, hidden_size=width, num_hidden_layers=layers,
            num_attention_heads=2, intermediate_size=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            **labels,
        )
    )  # fmt: skip
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return write_tokenizer(folder, limit=LENGTH)


def write_byte_tokenizer(folder: Path, *, adds_space: bool) -> None:
    """Write a tokenizer of bytes as GPT-2 and RoBERTa have one, whose tokens hold the spaces before words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made, letters = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel.alphabet()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=letters, special_tokens=["<s>"], show_progress=False)
    made.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>").save_pretrained(folder)


def make_sentences(count: int, seed: int = 0) -> list[dict]:
    """Return rows of words and labels: the two words behind "the" are a name."""
    draws, rows = np.random.default_rng(seed), []
    others = [word for word in WORDS[:16] if word != "the"]
    for _ in range(count):
        words, tags = [], []
        while len(words) < draws.integers(3, 9):
            is_name = draws.random() < 0.3
            words += (["the"] if is_name else []) + list(draws.choice(others, 2))
            tags += (["O", "B-PER", "I-PER"]) if is_name else ["O", "O"]
        rows.append({"tokens": words, "ner_tags": tags})
    return rows


def write_sentences(folder: Path, **splits: list[dict]) -> Path:
    """Write rows as JSON lines, a file for each split."""
    folder.mkdir(exist_ok=True)
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder
