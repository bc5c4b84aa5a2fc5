"""Text that a language model of Transformers writes, from prompts that are tokenised as in its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from instar.data.instructions.encoding import InstructionTokenizer
from instar.errors import ConfigError

MAX_NEW_TOKENS = 128
"""Tokens that are written at most, if the caller names no other number."""


def generate_text(model: Any, tokenizer: InstructionTokenizer, prompts: Any, **options: Any) -> str | list[str]:
    """Return what a model writes behind prompts, without special tokens; a text for one prompt, a list for a list.

    Args:
        model: model of Transformers.
        tokenizer: its tokenizer.
        prompts: a text, a conversation as a list of messages, or a list of either.
        options: those of `generate` in Transformers, such as `max_new_tokens` and `do_sample`.

    Raises:
        ConfigError: when prompts are something else, or there are none.
    """
    is_one = isinstance(prompts, str) or (isinstance(prompts, Sequence) and isinstance(next(iter(prompts), 0), Mapping))
    several = [prompts] if is_one else prompts
    if not isinstance(several, Sequence) or not several:
        raise ConfigError("generate needs a text, a list of messages, or a list of either.")
    encoded = [tokenizer.encode_prompt(prompt) for prompt in several]
    longest = max(map(len, encoded))
    padding = choose_padding(tokenizer)
    # on the left, because a model writes behind the last token
    tokens = torch.tensor([[padding] * (longest - len(ids)) + ids for ids in encoded], device=model.device)
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded], device=model.device)
    given = {**stopping(model, tokenizer), "max_new_tokens": MAX_NEW_TOKENS, **options}
    written: Tensor = model.generate(input_ids=tokens, attention_mask=mask, **given)
    texts = tokenizer.decode(written[:, longest:].tolist())
    return texts[0] if is_one else texts


def choose_padding(tokenizer: InstructionTokenizer) -> int:
    """Return the token that fills shorter prompts up; masked, so any would do."""
    return tokenizer.end if tokenizer.padding is None else tokenizer.padding


def stopping(model: Any, tokenizer: InstructionTokenizer) -> dict[str, Any]:
    """Return the tokens that end a text, fill it up and are never written, as settings of generation.

    Args:
        model: model of Transformers. A new one has numbers of tokens that are those of another tokenizer.
        tokenizer: its tokenizer.
    """
    known = model.generation_config.eos_token_id
    theirs = {known} if isinstance(known, int) else set(known or ())
    ends = sorted({*tokenizer.ends, *(theirs if tokenizer.end in theirs else ())})
    rows, used = len(model.get_output_embeddings().weight), len(tokenizer.classes)
    never = {"suppress_tokens": list(range(used, rows))} if rows > used else {}  # they pad the vocabulary
    return {"eos_token_id": ends, "pad_token_id": choose_padding(tokenizer), **never}
