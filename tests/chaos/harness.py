"""What every kind of chaos is made of: outcomes, commands in processes of their own, and the rule that judges them.

A kind is one module of this folder, found by its name; `python -m tests.chaos` runs all of them. It has

    COUNT = 200                              trials of `make chaos`
    SEEDED = 3                               trials of `make test`, which take a few seconds together
    def trials(random, count, folder):       yields `count` outcomes, and draws all chance from `random`

The runner asks for one trial at a time, each with a `Random` of its own, so that any trial can be repeated alone:
`python -m tests.chaos --kinds races --seed 0 --trial 137`. `folder` stays the same for all trials of one process. So
what is dear and the same for all (a trained teacher, a store) is made by a function that is cached by folder, and what
a trial changes is made in a folder of its own and removed again (`scratch`):

    @functools.cache
    def prepared(folder: Path) -> Path: ...

    def trials(random: Random, count: int, folder: Path) -> Iterator[Outcome]:
        base = prepared(folder)
        for _ in range(count):
            with scratch(folder) as here:
                bit = random.randrange(...)
                ended = command("evaluate", here / "run")
                yield Outcome("bit-flips", f"bit {bit} of weights.safetensors, evaluate", problem_of(ended))

A trial holds when the outcome is the right result, which the trial compares itself, or one sentence with exit code 2
(`problem_of`). An exception that leaves `trials` is a failed trial. Whatever may hang, crash or eat memory runs in
a child process: `command` forks one in which everything is imported already, so that hundreds of trials are quick.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

SECONDS = 60.0
"""After which a command has hung."""

MEMORY = 4 << 30
"""Bytes of address space that a command may take beyond what its parent has."""

SENTENCE = re.compile("^(instar: |Usage: )", re.MULTILINE)
"""What a refusal begins with: one of ours, or of the parser of the command line."""

LONGEST = 2000
"""Characters of stderr that a refusal may have."""


IMPORTED = (
    *(
        f"instar.procedures.{verb}"
        for verb in ("born_again", "correct_bias", "export", "inspect", "specialists", "tune")
    ),
    "instar.cli.output",
    "sklearn.datasets",
    "torch._dynamo",
    "torch.utils.flop_counter",
)
"""What commands import when they are called, and take seconds for."""


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Args:
        kind: of chaos.
        tried: what was done, in words.
        problem: why it did not hold; none: it held.
    """

    kind: str
    tried: str
    problem: str | None = None

    @property
    def held(self) -> bool:
        """Whether the result was right, or the refusal a sentence."""
        return self.problem is None


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        code: exit code, or minus the number of the signal that killed it.
        out: its stdout.
        err: its stderr.
        seconds: that it took.
        timed_out: whether it was killed because it did not end.
    """

    code: int
    out: str
    err: str
    seconds: float
    timed_out: bool = False


def problem_of(ended: Ended, longest: int = LONGEST) -> str | None:
    """Return why a command did not end as one may: with exit code 0, or in one sentence with exit code 2."""
    err = ended.err
    last = (err.strip().splitlines() or [""])[-1][:300]
    problems = {
        f"it had not ended after {ended.seconds:.0f} s": ended.timed_out,
        f"it was killed by signal {-ended.code}": ended.code < 0,
        f"a traceback: {last}": "Traceback (most recent call last)" in ended.out + err,
        f"exit code {ended.code}: {last}": ended.code not in (0, 2),
        f"stderr has {len(err)} characters: {err[:200]!r} ... {last!r}": ended.code == 2 and len(err) > longest,
        f"exit code 2 without a sentence: {err[:200]!r}": ended.code == 2 and not SENTENCE.search(err),
    }
    return next((problem for problem, is_so in problems.items() if is_so), None)


@dataclass
class Child:
    """A process that was forked from this one; `wait` returns how it ended."""

    pid: int
    out: IO[bytes]
    err: IO[bytes]
    started: float = field(default_factory=time.monotonic)

    def kill(self) -> None:
        """Kill it and its children, as a batch system does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, seconds: float = SECONDS) -> Ended:
        """Wait until it ends, and kill it when that takes too long."""
        timed_out = False
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            taken = time.monotonic() - self.started
            if pid:
                break
            if taken > seconds and not timed_out:
                timed_out = True
                self.kill()
            time.sleep(0.002)
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(os.waitstatus_to_exitcode(status), *texts, taken, timed_out)


def start(
    work: Callable[[], object],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    memory: int | None = MEMORY,
    limits: Mapping[int, int] | None = None,
) -> Child:
    """Fork a process that does `work`, and let it run.

    Args:
        work: what it does; its `SystemExit` is its exit code, and another exception prints a traceback and is code 1.
        cwd: its working directory.
        environment: variables that differ from ours.
        stdin: what it reads there.
        memory: bytes of address space beyond ours; none: no limit.
        limits: of other resources, such as {resource.RLIMIT_FSIZE: 1000}.
    """
    given, out, err = (tempfile.TemporaryFile() for _ in range(3))  # noqa: SIM115 (the child's)
    given.write(stdin.encode())
    given.seek(0)
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads: ours hold no locks
        pid = os.fork()
    if pid == 0:
        _be_child(work, (given, out, err), cwd, environment, memory, limits)
    given.close()
    with suppress(OSError):  # it may have done so itself, or be gone
        os.setpgid(pid, pid)
    return Child(pid, out, err)


def _be_child(
    work: Callable[[], object],
    streams: tuple[IO[bytes], ...],
    cwd: Path | None,
    environment: Mapping[str, str] | None,
    memory: int | None,
    limits: Mapping[int, int] | None,
) -> NoReturn:
    code: Any = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
        )
        gc.freeze()  # what the parent has made is no garbage, and looking through it takes longer than a small command
        os.chdir(cwd or os.getcwd())
        os.environ.update(environment or {})
        if memory is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)
        for name, most in (limits or {}).items():
            resource.setrlimit(name, (most, most))
        work()
        code = 0
    except SystemExit as exit_:
        code = exit_.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def cli(*words: object) -> Callable[[], None]:
    """Return the work of `instar WORDS` in a process in which everything is imported already."""
    from instar import cli

    for name in IMPORTED:  # so that a fork need not
        importlib.import_module(name)

    def work() -> None:
        sys.argv = ["instar", *map(str, words)]
        cli.main()

    return work


def cold(*words: object) -> Callable[[], None]:
    """Return the work of `instar WORDS` in a fresh interpreter, as a user starts it."""
    arguments = [sys.executable, "-m", "instar.cli", *map(str, words)]
    return lambda: os.execv(sys.executable, arguments)


def command(*words: object, seconds: float = SECONDS, **settings: Any) -> Ended:
    """Run `instar WORDS` in a forked process to its end; `settings` are those of `start`."""
    return start(cli(*words), **settings).wait(seconds)


def made(*words: object, **settings: Any) -> Ended:
    """Run a command that is to succeed, for what trials are made from."""
    ended = command(*words, **settings)
    if ended.code:
        raise RuntimeError(f"instar {' '.join(map(str, words))}: exit code {ended.code}: {ended.err[-2000:]}")
    return ended


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a folder of a trial's own, and remove it."""
    here = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield here
    finally:
        for path in (here, *here.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)  # a trial may have made it read-only
        shutil.rmtree(here, ignore_errors=True)
