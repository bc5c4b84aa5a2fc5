"""The columns that hold instructions, and their rows as parts of a text with and without a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from instar.config import DataConfig
from instar.data.labels import LABEL_NAMES
from instar.errors import DataError, shortened

PAIR = ("prompt", "completion")
"""Columns of a text or of messages that are given, and of what a model writes behind them."""

CONVERSATION = ("messages",)
"""Column of conversations: lists of {"role": ..., "content": ...}."""

ASSISTANT = "assistant"
"""Role of the turns that a model writes."""

Message = Mapping[str, Any]
Render = Callable[[Sequence[Message], bool], str]
"""Returns messages as a text of the chat template; with True, up to where the next turn of the assistant begins."""


class UnusableRowError(DataError):
    """A row has nothing to learn from."""


@dataclass(frozen=True)
class Part:
    """A part of the text of an example.

    Args:
        text: the text.
        has_loss: whether a model learns to write it.
    """

    text: str
    has_loss: bool


@dataclass(frozen=True)
class Example:
    """The text of an example in parts.

    Args:
        parts: parts in their order; the last one has a loss.
        is_rendered: whether a chat template wrote the text, with all tokens that begin and end it.
        has_end: whether the text has its last token.
    """

    parts: tuple[Part, ...]
    is_rendered: bool = False
    has_end: bool = False


def choose_columns(names: Iterable[str], first: Callable[[str], Any], config: DataConfig) -> tuple[str, ...]:
    """Return the columns of instructions; () if the data are something else.

    Args:
        names: names of all columns.
        first: function that returns the first value of a column.
        config: `input_columns` chooses among several; `input_column` and `label_column` name other data.

    Raises:
        DataError: when the data have prompts and messages, or labels beside them.

    >>> choose_columns(["prompt", "completion"], lambda column: "a text", DataConfig(source="rows"))
    ('prompt', 'completion')
    """
    if config.input_column is not None or config.label_column is not None:
        return ()
    known = set(names)
    wanted = set(config.input_columns or known)
    found = [columns for columns in (PAIR, CONVERSATION) if wanted >= set(columns) and _hold_text(columns, first)]
    if len(found) > 1:
        raise DataError(
            f"data '{config.source}' have columns {', '.join(PAIR)} and {CONVERSATION[0]}; choose with "
            f"data.input_columns=[{','.join(PAIR)}] or [{CONVERSATION[0]}]."
        )
    # preferences are such rows: a model must not learn to write what somebody rejected
    if found and not config.input_columns and (label := next((name for name in LABEL_NAMES if name in known), None)):
        raise DataError(
            f"data '{config.source}' have a column '{label}' beside {', '.join(found[0])}; to learn every completion, "
            f"set data.input_columns=[{','.join(found[0])}]; to predict labels, set data.label_column={label}."
        )
    return found[0] if found else ()


def _hold_text(columns: Sequence[str], first: Callable[[str], Any]) -> bool:
    values = [first(column) for column in columns]
    are_texts = columns == PAIR and all(isinstance(value, str | None) for value in values)
    return are_texts or all(_are_messages(value) for value in values)


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) and "role" in one for one in value)


def read_row(row: Mapping[str, Any], render: Render, specials: Iterable[str]) -> Example:
    """Return the example in a row.

    Args:
        row: values of `PAIR` or of `CONVERSATION`.
        render: chat template of the tokenizer.
        specials: tokens that end a turn and are no text.

    Raises:
        UnusableRowError: when nothing of it has a loss.
        DataError: when the template cannot render it, or changes earlier turns.

    >>> [part.text for part in read_row({"prompt": "2 + 2 =", "completion": " 4"}, None, ()).parts]
    ['2 + 2 =', ' 4']
    """
    if CONVERSATION[0] in row:
        return _read_messages(row[CONVERSATION[0]], 0, render, specials)
    prompt, completion = (row[name] for name in PAIR)
    for name, value in zip(PAIR, (prompt, completion), strict=True):
        if value is None:  # the reader of CSV files takes words such as NA and None for missing
            raise UnusableRowError(f"has no {name}")
    if isinstance(prompt, str) and isinstance(completion, str):
        if not completion.strip():
            raise UnusableRowError("has an empty completion")
        return Example((Part(prompt, False), Part(completion, True)))
    if not _are_messages(prompt) or not _are_messages(completion):
        raise UnusableRowError("has a text as one of prompt and completion, and messages as the other")
    return _read_messages([*prompt, *completion], len(prompt), render, specials)


def _read_messages(messages: Any, first: int, render: Render, specials: Iterable[str]) -> Example:
    if not _are_messages(messages):
        raise UnusableRowError('has no messages {"role": ..., "content": ...}')
    # files of rows hold a null for each key that another message has
    told = [{key: value for key, value in message.items() if value is not None} for message in messages]
    turns = [at for at in range(first, len(told)) if told[at]["role"] == ASSISTANT]
    if not turns:
        raise UnusableRowError(f"has no turn of the {ASSISTANT}")
    for at in turns:
        content = told[at].get("content", "")
        if not (content.strip() if isinstance(content, str) else content) and not told[at].get("tool_calls"):
            raise UnusableRowError(f"has an empty turn of the {ASSISTANT}")
    return _split_conversation(told, turns, render, tuple(specials))


def _split_conversation(
    messages: Sequence[Message], turns: Sequence[int], render: Render, specials: Sequence[str]
) -> Example:
    parts: list[Part] = []
    text, has_end = "", False
    for at in turns:
        try:
            before = render(messages[:at], True)
            after, longer = (render(messages[:stop], False) for stop in (at + 1, min(at + 2, len(messages))))
        except Exception as error:  # templates raise what they like
            raise DataError(f"cannot be rendered by the chat template: {shortened(error)}") from None
        # some templates write a token at the end of the last turn alone
        shared = _find_beginning(after, longer)
        answer = shared[len(before) :]
        # what stands between the last token of a turn and the next turn is not written by the model
        end = max((answer.rfind(token) + len(token) for token in specials if token in answer), default=0)
        has_end = end > 0 and (after != shared or not answer[end:].strip())
        answer = answer[:end] if has_end else answer
        is_kept = shared.startswith(before) and before.startswith(text) and (has_end or shared == after)
        if not is_kept or _content_of(messages[at]) not in answer:
            raise DataError(
                "is changed by the chat template where other turns follow, so the tokens of a turn cannot be told; "
                "give the turns before the last one as the prompt, and the last one as the completion, both as messages"
            )
        parts += [Part(before[len(text) :], False), Part(answer, True)]
        text = before + answer
    return Example(tuple(parts), is_rendered=True, has_end=has_end)


def _find_beginning(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    return one[: next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))]


def _content_of(message: Message) -> str:
    content = message.get("content", "")
    return content.strip() if isinstance(content, str) else ""
