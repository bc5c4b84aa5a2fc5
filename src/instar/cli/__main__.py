"""`python -m instar.cli`."""

from instar.cli.verbs import main

main()
