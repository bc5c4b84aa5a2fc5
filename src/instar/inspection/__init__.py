"""Describes a run folder: its content and origin, missing or damaged files, and what to do next."""
