"""The command line: every verb is the function of the same name, with its settings as flags.

Settings come from four places, each of which overrides the ones before: the defaults, `--config`, the flags, `--set`.
Only results go to stdout (as JSON with `--json`); progress goes to stderr. Errors that the user can mend end with one
sentence and exit code 2.

Verbs import what they need when they are called: `instar --help` must not wait for torch.
"""

from instar.cli.verbs import app, main

__all__ = ["app", "main"]
