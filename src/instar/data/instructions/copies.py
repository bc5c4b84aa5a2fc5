"""Instructions in the cache: their tokens, one example behind the other, and which of them have a loss."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instar.config import DataConfig
from instar.data.instructions.encoding import ROWS_PER_CALL, Encoded, InstructionTokenizer
from instar.data.instructions.forms import CONVERSATION, PAIR
from instar.data.instructions.windows import describe_plans, make_source, plan_windows
from instar.data.source import Source
from instar.errors import DataError, say

MAX_LISTED_ROWS = 5
"""Rows that an error lists."""

_PARTS = ("tokens", "has_loss", "lengths")

_TOKENIZER_FILES = ("tokenizer", "chat_template", "special_tokens", "added_tokens", "vocab", "merges")
"""How the names of the files of a tokenizer begin."""


def write_instructions(splits: Mapping[str, Any], first: str, folder: Path, config: DataConfig) -> dict[str, Any]:
    """Write the tokens of each split into a folder, and return a description of their content.

    Args:
        splits: rows by split.
        first: first of the columns.
        folder: folder to write to.
        config: name of the data, tokenizer, and what happens to rows without a completion.

    Raises:
        DataError: when there is no tokenizer, or a row cannot be read.
    """
    if config.tokenizer is None:
        raise DataError(
            f"the instructions of '{config.source}' need data.tokenizer, the folder or Hub id of a Transformers "
            "tokenizer, such as that of the student."
        )
    tokenizer = InstructionTokenizer(config.tokenizer)
    columns = PAIR if first == PAIR[0] else CONVERSATION
    found = {}
    for split, rows in splits.items():
        for column in columns:
            if column not in rows.features:
                raise DataError(f"data '{config.source}' has no column '{column}' in its split {split}.")
        found[split] = tokenizer.encode_rows(_read_rows(rows, columns), f"{config.source} ({split})")
    if tokenizer.is_dated and any(isinstance(splits["train"][:1][column][0], list) for column in columns):
        say(
            f"instar: the chat template of '{config.tokenizer}' may write today's date into the conversations of "
            f"'{config.source}'; their tokens are kept, and other days do not change them."
        )
    if config.on_error == "refuse":
        _refuse_unusable(found, config.source)
    for split, encoded in found.items():
        for part in _PARTS:
            np.save(folder / f"{split}-{part}.npy", getattr(encoded, part))
    skipped = {split: encoded.unusable for split, encoded in found.items() if encoded.unusable}
    return {"splits": list(splits), "classes": tokenizer.classes, "columns": columns, "unusable": skipped}


def _read_rows(rows: Any, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    chosen = rows.select_columns(list(columns))
    for start in range(0, len(rows), ROWS_PER_CALL):  # a read of one row costs as much as one of many
        part = chosen[start : start + ROWS_PER_CALL]
        for number, values in enumerate(zip(*(part[column] for column in columns), strict=True), start):
            yield number, dict(zip(columns, values, strict=True))


def _refuse_unusable(found: Mapping[str, Encoded], source: str) -> None:
    rows = [(split, *each) for split, encoded in found.items() for each in encoded.unusable]
    if not rows:
        return
    listed = "; ".join(f"row {number} of {split} {reason}" for split, number, reason in rows[:MAX_LISTED_ROWS])
    more = f"; and {len(rows) - MAX_LISTED_ROWS:,} more" if len(rows) > MAX_LISTED_ROWS else ""
    raise DataError(
        f"{len(rows):,} rows of '{source}' have no completion to learn from ({listed}{more}). Mend them, or set "
        "data.on_error=skip to leave them out."
    )


def read_instructions(folder: Path, holds: Mapping[str, Any], config: DataConfig) -> dict[str, Source]:
    """Return the sources of all splits, cut into windows of `config.length` positions at most.

    Windows are made here and not when texts are tokenised, so that every length and packing reads the same copy.

    Args:
        folder: folder of the copy.
        holds: description that `write_instructions` returned.
        config: settings of windows.
    """
    names = {split: f"{config.source} ({split})" for split in holds["splits"]}
    found = {
        split: Encoded(*(np.load(folder / f"{split}-{part}.npy", allow_pickle=False) for part in _PARTS))
        for split in names
    }
    plans = {
        split: plan_windows(
            names[split],
            encoded,
            config.length,
            truncation=config.truncation,
            packing=config.packing,
            skips=config.on_error == "skip",
        )
        for split, encoded in found.items()
    }
    # of all splits, because inputs must have one shape in all of them
    width, classes = max(plan.width for plan in plans.values()), tuple(holds["classes"])
    left_out = " and ".join(f"{len(rows):,} of {split}" for split, rows in holds["unusable"].items())
    told = f"instructions of columns {', '.join(holds['columns'])}"
    told += f", without rows that have no completion ({left_out})" if left_out else ""
    told += describe_plans(plans)
    return {
        split: make_source(names[split], encoded, plans[split], width, classes, told, packing=config.packing)
        for split, encoded in found.items()
    }


def hash_tokenizer(tokenizer: str | None) -> str:
    """Return a hash of the files of a tokenizer in a folder; empty for a Hub id, whose files are not here."""
    if tokenizer is None or not os.path.isdir(tokenizer):
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(Path(tokenizer).iterdir()):
        if path.is_file() and path.name.startswith(_TOKENIZER_FILES):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
