"""What columns of text hold: numbers, booleans or dates, as in a CSV file, or words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from instar.data.columns.schema import CellKind
from instar.errors import DataError, say

Column = Any
"""A chunked array of Arrow."""

MISSING_WORDS = (
    *("NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NULL", "null", "None", "NaT"),
    *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Words for a missing value between numbers, booleans and dates; between words, they are words."""

LARGEST_WHOLE_NUMBER = 2**53
"""Up to here, float64 holds every whole number."""

_NUMBER = r"^[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$"  # no leading zeros, which codes have
_INFINITY = r"^[-+]?[iI]nf(inity)?$"
_CODE = r"^(\+[0-9]+|[0-9]+[eE][0-9]+)$"  # a telephone or an article number, unless others have decimals
_DECIMAL = r"[.]"
_WHOLE = r"^[-+]?[0-9]+$"
_SEPARATED = r"^[-+]?([0-9]{1,3}([,.' \x{a0}\x{202f}][0-9]{3})+([.,][0-9]+)?|[0-9]+,[0-9]+)$"
_BOOLEAN = r"^(?i:true|false)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?$"
_OTHER_DATE = r"^([0-9]{1,2}[/.-][0-9]{1,2}[/.-]([0-9]{4}|[0-9]{2})|[0-9]{4}[/.][0-9]{1,2}[/.][0-9]{1,2})( .*)?$"

_OTHER_FORMS = (
    (_SEPARATED, f"{_NUMBER}|{_SEPARATED}", "numbers", "whose comma or point may separate thousands or decimals"),
    (_OTHER_DATE, f"{_OTHER_DATE}|{_DATE}", "dates", "whose day and month have no certain order"),
)
_EXAMPLES: dict[str, str] = {"number": "1234.5", "date": "2024-05-31", "boolean": "true or false"}


def find_kind_of_text(columns: Mapping[str, Column], where: str, name: str) -> CellKind:
    """Return what text holds in all splits together: a type whose values all match, or words.

    Args:
        columns: text of each split, the training samples first.
        where: name of the column, for messages.
        name: its name alone.

    Raises:
        DataError: when splits differ, or numbers and dates are written in a way that has several readings.

    >>> import pyarrow
    >>> find_kind_of_text({"train": pyarrow.chunked_array([["1.5", "NA", "2"]])}, "column 'age'", "age")
    'number'
    >>> find_kind_of_text({"train": pyarrow.chunked_array([["007", "12"]])}, "column 'code'", "code")
    'word'
    """
    import pyarrow
    import pyarrow.compute

    known = {split: found for split, column in columns.items() if len(found := _distinct(column))}
    if not known:  # words such as NA are the only ones
        _tell_doubts(None, columns.values(), where, name)
        return "word"
    has_decimals = any(_count(values, _DECIMAL) for values in known.values())
    kinds = {split: _kind_of(values, has_decimals=has_decimals) for split, values in known.items()}
    (first, kind), *others = kinds.items()
    if kind != "word":
        for split, other in others:
            if other != kind:
                odd = known[split].filter(_fits(known[split], kind, invert=True))
                raise DataError(
                    f"{where} holds {kind}s and {other}s in different splits: {kind}s in '{first}', and such as "
                    f"'{odd[0]}' in '{split}'. Leave cells without a value empty, or set "
                    f"data.column_types={{'{name}': 'word'}} to read words."
                )
        return kind
    every = pyarrow.compute.unique(pyarrow.chunked_array(list(known.values())))
    _refuse_other_forms(every, where, name)
    _tell_doubts(every, columns.values(), where, name)
    return "word"


def parse_text(column: Column, kind: CellKind, where: str) -> Column:
    """Return text that holds numbers, booleans or dates in a form that Arrow casts; words such as NA are missing.

    Whole numbers become int64, and all other types stay text.

    Raises:
        DataError: when a whole number is too large for float64.

    >>> import pyarrow
    >>> parse_text(pyarrow.chunked_array([["+5", " 7", "NA"]]), "number", "column 'age'").to_pylist()
    [5, 7, None]
    """
    import pyarrow
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column)
    text = pc.if_else(pc.is_in(text, pyarrow.array(MISSING_WORDS, text.type)), pyarrow.scalar(None, text.type), text)
    if kind == "boolean":
        return pc.utf8_lower(text)
    if kind != "number":
        return text
    text, distinct = pc.utf8_ltrim(text, "+"), _distinct(column)
    whole = distinct.filter(pc.match_substring_regex(distinct, _WHOLE))
    refuse_large_numbers(map(int, whole.to_pylist()), where)
    return text.cast(pyarrow.int64()) if len(whole) == len(distinct) else text


def refuse_large_numbers(numbers: Any, where: str) -> None:
    """Refuse whole numbers that float64 would change.

    Raises:
        DataError: names the first one.
    """
    if large := next((number for number in numbers if abs(number) > LARGEST_WHOLE_NUMBER), None):
        raise DataError(
            f"{where} cannot be read as numbers: {large} has more digits than a number can keep (at most 2**53), so it "
            "may be an id. Leave the column out with data.leave_out, or read it as words with data.column_types."
        )


def refuse_value(value: str, row: int, kind: CellKind, where: str) -> NoReturn:
    """Refuse text that is no number, boolean or date in its form.

    Raises:
        DataError: names the value and its row.

    >>> refuse_value("01/02/2024", 3, "date", "column 'when'")
    Traceback (most recent call last):
    instar.errors.DataError: column 'when' cannot be read as dates: row 3 holds '01/02/2024', whose day and month have \
no certain order. Write dates as 2024-05-31, and leave cells without a value empty. To read words, train with \
data.column_types.
    """
    import pyarrow

    forms = (
        doubt for odd, _, told, doubt in _OTHER_FORMS if told == f"{kind}s" and _count(pyarrow.array([value]), odd)
    )
    doubt = next(forms, f"which is no {kind} that can be read")
    raise DataError(
        f"{where} cannot be read as {kind}s: row {row} holds '{value}', {doubt}. Write {kind}s as {_EXAMPLES[kind]}, "
        "and leave cells without a value empty. To read words, train with data.column_types."
    )


def _distinct(column: Column) -> Any:
    import pyarrow
    import pyarrow.compute as pc

    values = pc.unique(pc.utf8_trim_whitespace(column)).drop_null()
    return values.filter(pc.invert(pc.is_in(values, pyarrow.array(MISSING_WORDS, values.type))))


def _count(values: Any, pattern: str) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring_regex(values, pattern)).as_py() or 0)


def _fits(values: Any, kind: str, *, invert: bool = False) -> Any:
    import pyarrow.compute as pc

    pattern = {"boolean": _BOOLEAN, "number": f"{_NUMBER}|{_INFINITY}", "date": _DATE}[kind]
    found = pc.match_substring_regex(values, pattern)
    return pc.invert(found) if invert else found


def _kind_of(values: Any, *, has_decimals: bool) -> CellKind:
    import pyarrow.compute as pc

    kinds: tuple[CellKind, ...] = ("boolean", "number", "date")
    kind: CellKind = next((kind for kind in kinds if pc.all(_fits(values, kind)).as_py()), "word")
    if kind == "number" and not has_decimals and _count(values, _CODE):
        return "word"
    # words for infinity alone are words
    return "word" if kind == "number" and _count(values, _INFINITY) == len(values) else kind


def _refuse_other_forms(every: Any, where: str, name: str) -> None:
    import pyarrow.compute as pc

    for odd, pattern, told, doubt in _OTHER_FORMS:
        found = every.filter(pc.match_substring_regex(every, odd))
        if len(found) and _count(every, pattern) == len(every):
            example = found[0]
            raise DataError(
                f"{where} holds {told} such as '{example}', {doubt}. Write them as {_EXAMPLES[told[:-1]]}, or set "
                f"data.column_types={{'{name}': 'word'}} to read words."
            )


def _tell_doubts(every: Any | None, columns: Iterable[Column], where: str, name: str) -> None:
    choice = f"set data.column_types={{'{name}': 'word'}}"
    empty = "leave the cell empty if the value is missing, or"
    if every is not None and (code := _find_code(every)):
        choice = f"set data.column_types={{'{name}': 'number'}} to read numbers, or 'word'"
        told = f"is read as words, because '{code}' may be a code; {choice}"
    elif every is not None and (word := _find_word_among_numbers(every)):
        told = f"is read as words, because '{word}' is no number, and other values are; {empty} {choice}"
    elif missing := _find_missing_word(columns):
        told = f"has the word '{missing}', which stays a word; {empty} {choice}"
    else:
        return
    say(f"instar: warning: {where} {told} to leave this message out.")


def _find_code(every: Any) -> str | None:
    import pyarrow.compute as pc

    codes = every.filter(pc.match_substring_regex(every, _CODE)).to_pylist()
    return codes[0] if codes and _count(every, _NUMBER) == len(every) else None


def _find_word_among_numbers(every: Any) -> str | None:

    words = every.filter(_fits(every, "number", invert=True)).to_pylist()
    # leading zeros show that numbers are codes, too
    are_numbers = 2 * len(words) <= len(every) and not _count(every, "^0[0-9]")
    return words[0] if words and are_numbers else None


def _find_missing_word(columns: Iterable[Column]) -> str | None:
    import pyarrow
    import pyarrow.compute as pc

    for column in columns:
        found = pc.unique(column)
        for word in found.filter(pc.is_in(found, pyarrow.array(MISSING_WORDS, found.type))).to_pylist():
            return str(word)
    return None
