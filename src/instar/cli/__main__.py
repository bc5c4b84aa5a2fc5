"""`python -m instar.cli`."""

from instar.cli import main

main()
