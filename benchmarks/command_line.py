"""Waiting times at the command line: `instar --help` over an empty typer program, and the whole `instar demo`.

The demo has no reference; its row has the seconds of one run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Measured, Topic, parser, seconds

INSTAR = str(Path(sys.executable).with_name("instar"))
EMPTY = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"


def call(*command: str) -> float:
    """Return the seconds of a process that must succeed; its results are not shown."""
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def main() -> None:
    """Measure both cases."""
    topic = Topic("command_line", parser(__doc__).parse_args())
    topic.compare(
        "instar --help over an empty typer program",
        lambda: call(INSTAR, "--help"),
        lambda: call(sys.executable, "-c", EMPTY),
    )
    case = "instar demo, from nothing to the report"
    if topic.wanted(case):
        with tempfile.TemporaryDirectory() as folder:
            value = call(INSTAR, "demo", "--out", str(Path(folder) / "demo"))
        topic.add(Measured(case, value, "seconds", None, None, 1, None))
    topic.write()


if __name__ == "__main__":
    main()
