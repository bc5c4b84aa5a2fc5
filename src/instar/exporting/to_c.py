"""C: decision trees as one file of C99 that includes nothing but the standard library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from instar.compute.inputs import Inputs
from instar.errors import MismatchError, say
from instar.exporting.decisions import Decisions, as_rows, decide
from instar.exporting.student import Predict, Student
from instar.runs.files import write_whole

COMPILERS = ("cc", "gcc", "clang")
MAX_COMPILE_SECONDS = 120

_PROGRAM = """\
/* Decision trees, written by Instar. Compile with any C99 compiler: cc -c model.c (link with -lm).

   A row is an array of COLUMNS numbers in the order of COLUMN_NAMES: booleans are 0 or 1, dates are seconds since
   1970-01-01 UTC, and word_number() returns the number of a word. NAN is a missing value. */

#include <math.h>
#include <string.h>

#define COLUMNS {columns}
#define OUTPUTS {outputs}

const char *const COLUMN_NAMES[] = {column_names};
{class_names}
static const struct {{ int column; const char *word; double number; }} WORDS[] = {words};

/* kind 1: at most the bound; 2: the word of this number; 3: missing. `answer` is that for a missing value.
   `yes` and `no` are numbers of questions; below 0: -1 - number of the leaf. */
static const struct {{ int column, kind; double bound; int answer, yes, no; }} QUESTIONS[] = {asked};
static const double LEAVES[][OUTPUTS] = {leaves};
static const int ROOTS[] = {roots};
static const double BASE[OUTPUTS] = {base};

/* Returns the number of a word of a column; NULL is a missing value. */
double word_number(int column, const char *word) {{
    if (word == NULL) return NAN;
    for (size_t at = 0; at < sizeof WORDS / sizeof *WORDS; at++)
        if (WORDS[at].column == column && strcmp(WORDS[at].word, word) == 0) return WORDS[at].number;
    return -1.0; /* was never seen in training */
}}

/* Writes {what} of a row; NAN where a value is missing that must not be. */
void predict_outputs(const double *row, double *found) {{
    for (int output = 0; output < OUTPUTS; output++) found[output] = {start};
    for (size_t tree = 0; tree < sizeof ROOTS / sizeof *ROOTS; tree++) {{
        int at = ROOTS[tree];
        while (at >= 0) {{
            const double value = row[QUESTIONS[at].column], bound = QUESTIONS[at].bound;
            const int kind = QUESTIONS[at].kind;
            int answer = QUESTIONS[at].answer;
            if (!isnan(value)) answer = kind == 1 ? value <= bound : kind == 2 && value == bound;
            at = answer ? QUESTIONS[at].yes : QUESTIONS[at].no;
        }}
        for (int output = 0; output < OUTPUTS; output++) found[output] += LEAVES[-1 - at][output];
    }}
{finish}}}
"""

_CLASSES = """
/* Returns the number of the likeliest class; -1 where a value is missing that must not be. */
int predict(const double *row) {
    double found[OUTPUTS];
    int best = 0;
    predict_outputs(row, found);
    for (int output = 0; output < OUTPUTS; output++)
        if (found[output] > found[best]) best = output;
    return isnan(found[0]) ? -1 : best;
}
"""

_NUMBERS = """
/* Returns the predicted number, the first where there are several. */
double predict(const double *row) {
    double found[OUTPUTS];
    predict_outputs(row, found);
    return found[0];
}
"""


def write_c(student: Student, path: Path) -> Predict:
    """Write a C file with `predict(row)`, and return a function that compiles and runs it.

    Raises:
        MismatchError: if the student is no decision tree, or a compiler refuses the file.
    """
    return write_tree_c(decide(student, "c"), student.classes, path)


def write_tree_c(found: Decisions, classes: Sequence[str], path: Path) -> Predict:
    """Write the C file of decisions, and return a function that compiles and runs it.

    Without a C compiler, the questions are compared and not the file, which stderr says.

    Raises:
        MismatchError: if a compiler refuses the file.
    """
    program = write_program(found, classes)
    write_whole(path, lambda temporary: temporary.write_text(program, encoding="ascii"))
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        say("instar: there is no C compiler (cc, gcc or clang), so the file did not run; its questions were compared.")
        return lambda inputs: torch.from_numpy(found.questions.predict(as_rows(inputs))).float()
    return open_c(path, compiler, found.questions.trees.outputs)


def open_c(path: Path, compiler: str, outputs: int) -> Predict:
    """Compile a C file, and return a function that runs it.

    Raises:
        MismatchError: if the compiler refuses the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "model.so"
        command = [compiler, "-std=c99", "-O1", "-shared", "-fPIC", "-x", "c", str(path), "-o", str(library), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=MAX_COMPILE_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            reason = " ".join((getattr(error, "stderr", None) or str(error)).split())[:200]
            raise MismatchError(f"{compiler} does not compile the C file: {reason}.") from None
        run = ctypes.CDLL(str(library)).predict_outputs  # it stays in memory when the file is gone
    run.restype = None

    def predict(inputs: Inputs) -> Tensor:
        rows = as_rows(inputs)
        found = torch.empty(len(rows), outputs, dtype=torch.float64)
        for row, target in zip(rows, found, strict=True):
            run((ctypes.c_double * len(row))(*row), ctypes.c_void_p(target.data_ptr()))
        return found.float()

    return predict


def write_program(found: Decisions, classes: Sequence[str]) -> str:
    """Return the C file; numbers are written in hexadecimal, which holds all of their digits."""
    trees, columns = found.questions.trees, found.questions.columns
    words = [
        f"{{{place}, {_quote(word)}, {code}}}"
        for place, column in enumerate(columns)
        for code, word in enumerate(column.categories)
    ]
    asked = [
        f"{{{one.column}, {one.question}, {_write(one.bound)}, {int(one.if_missing)}, {one.yes}, {one.no}}}"
        for one in found.asked
    ]
    finish = "" if trees.combine == "sum" else f"found[output] = found[output] / {len(trees.roots)} + BASE[output];"
    if trees.meaning == "probabilities":
        finish += " found[output] = log(found[output]);"
    lines = [f"    for (int output = 0; output < OUTPUTS; output++) {{ {finish} }}"] if finish else []
    if not found.questions.allows_missing:
        lines.append("    for (int column = 0; column < COLUMNS; column++)")
        lines.append("        if (isnan(row[column]))")
        lines.append("            for (int output = 0; output < OUTPUTS; output++) found[output] = NAN;")
    names = "" if found.predicts_numbers else f"const char *const CLASS_NAMES[] = {_list(list(map(_quote, classes)))};"
    return _PROGRAM.format(
        columns=len(columns),
        outputs=trees.outputs,
        column_names=_list([_quote(column.name) for column in columns]),
        class_names=names,
        words=_list(words or ['{-1, "", 0}']),  # C has no empty lists
        asked=_list(asked or ["{0, 0, 0, 0, -1, -1}"]),
        leaves=_list([_list_in_line(values) for values in found.leaves]),
        roots=_list(list(map(str, found.roots))),
        base=_list_in_line(trees.base.tolist()),
        what="the predicted numbers" if found.predicts_numbers else "the logit of each class",
        start="BASE[output]" if trees.combine == "sum" else "0",
        finish="".join(f"{line}\n" for line in lines),
    ) + (_NUMBERS if found.predicts_numbers else _CLASSES)


def _write(number: float) -> str:
    return {"inf": "INFINITY", "-inf": "-INFINITY"}.get(text := number.hex(), text)


def _quote(text: str) -> str:
    # bytes in octal, which C ends after three digits, so that no text can end the string
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 _-.,:=()[]"
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _list(items: Sequence[str]) -> str:
    return "{" + "".join(f"\n    {item}," for item in items) + "\n}"


def _list_in_line(values: Sequence[float]) -> str:
    return "{" + ", ".join(map(_write, values)) + "}"
