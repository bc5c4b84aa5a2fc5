"""How a command ends: its exit code, and one sentence on stderr if there is no result.

0    result on stdout
1    unexpected error; the sentence names a file with the traceback
2    error that the user can mend
130  interrupted by the user
141  the reader of stdout is gone
"""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from instar.errors import InstarError, as_sentence, say

UNEXPECTED, USER_ERROR, INTERRUPTED, UNREAD = 1, 2, 130, 141

_USER_ERRNOS = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTDIR,
    errno.EISDIR, errno.ELOOP, errno.EMFILE,
}  # fmt: skip
"""Errors of the file system that the user's disk or paths cause, not Instar."""


def exit_code(app: Callable[..., Any]) -> int:
    """Run the command line, print on stderr why it ended early, and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may not be valid text
    try:
        code = app(prog_name="instar", standalone_mode=False)
        if sys.stdout is not None:  # here, because at exit it is too late for an exit code of our own
            sys.stdout.flush()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # for which Typer exits with 1
            return _close_stdout()
        raise
    except BrokenPipeError:
        return _close_stdout()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if not _is_interrupt(error):
            return _report_error(error)
        code = INTERRUPTED
    if code == INTERRUPTED:
        say("instar: interrupted; run the same command again to resume.")
    return code if isinstance(code, int) else 0


def _report_error(error: Exception) -> int:
    if hasattr(error, "format_message"):  # an error of the command line's parser
        if type(error).__name__ == "NoArgsIsHelpError":  # the message is the whole help, and no error of one line
            say(error.format_message())
        else:
            command = getattr(getattr(error, "ctx", None), "command_path", "instar")
            say(f"instar: {as_sentence(_describe_usage(error))} See: {command} --help")
    elif isinstance(error, InstarError):
        say(f"instar: {error}")
    elif isinstance(error, OSError) and error.errno in _USER_ERRNOS:
        where = f"'{error.filename}'" if error.filename else "a file"
        say(f"instar: {as_sentence(f'{where} cannot be read or written: {error.strerror}.')}")
    elif is_out_of_memory(error):
        say(f"instar: {as_sentence(f'out of memory: {error}.')} Try a smaller model or batch_size.")
    else:
        say(
            f"instar: unexpected {as_sentence(_name_error(error))}. The traceback is in {_write_traceback(error)}; "
            "unless it ends in your own code, please report it with that file."
        )
        return UNEXPECTED
    return USER_ERROR


def _name_error(error: BaseException) -> str:
    # a group alone says only how many errors there are
    words = f"{type(error).__name__}: {error}".rstrip(".: ")
    return f"{words}, first {_name_error(error.exceptions[0])}" if isinstance(error, BaseExceptionGroup) else words


def _describe_usage(error: Any) -> str:
    # pydantic's errors say what was expected, but the parser leaves out the value that they name
    text = str(error.format_message()).rstrip(".")
    problems: list[Any] = getattr(error.__cause__, "errors", list)()
    return f"{text}, got {problems[0]['input']!r}." if problems else f"{text}."


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the machine or an accelerator ran out of memory, for which torch has several errors."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _is_interrupt(error: BaseException) -> bool:
    # what Typer makes of Ctrl-C
    return type(error).__name__ == "Abort"


def _write_traceback(error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="instar-error-", suffix=".txt", delete=False) as file:
            file.write(text)
        return f"'{file.name}'"
    except OSError:  # a full disk may be why there is an error at all
        say(text)
        return "the lines above"


def _close_stdout() -> int:
    # Python flushes stdout at exit, and would complain about the closed pipe there
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    return UNREAD
