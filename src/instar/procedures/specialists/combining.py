"""`instar specialists combine`: a generalist and its specialists as one run folder, a teacher like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from instar.checks import checked
from instar.config import DataConfig
from instar.data import Data
from instar.errors import ConfigError, RunError
from instar.paths import given_path, local_path
from instar.procedures.ensemble import make_teacher_run
from instar.procedures.specialists.clusters import Clusters
from instar.procedures.specialists.training import CLUSTERS, folder_name
from instar.runs.run import Run
from instar.teachers import SPECIALISTS, opening, specialists_of


def folders_in(given: Sequence[str | Path]) -> list[Path]:
    """Return run folders: those that are given, and those of all specialists in a folder that `train` made."""
    found: list[Path] = []
    for path in map(local_path, given):
        if (path / CLUSTERS).is_file():
            found += [path / folder_name(number) for number in range(len(Clusters.read(path / CLUSTERS)))]
        else:
            found.append(path)
    return found


@checked
def combine(
    generalist: str | Path | Run,
    specialists: Sequence[str | Path | Run],
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    out: str | Path,
    top: int = 1,
    weight: float = 1.0,
    weights: Sequence[float] | None = None,
    divergence: Literal["forward", "reverse"] = "forward",
    allow_missing: bool = False,
    trust: bool = False,
) -> Run:
    """Combine a generalist with its specialists, measure them together, and return the run folder that stands for them.

    The folder may be given wherever a teacher may: to `distill` it into one model again, to `label` with it, or to
    `evaluate` it.

    Args:
        generalist: its run folder.
        specialists: their run folders, each complete.
        data: whose test and validation samples are predicted; none: the generalist's.
        out: the run folder; new, or of the same combination.
        top: a specialist is asked where it has one of this many classes that the generalist finds likeliest.
        weight: of the generalist's divergence.
        weights: of the specialists', one each; none: 1.
        divergence: "forward", KL(p || q) as in the paper, or "reverse", KL(q || p).
        allow_missing: combine the others where specialists have failed; the result names those that are missing.
        trust: allow members whose model is a class outside `instar.models`.

    Raises:
        RunError: when a specialist is not complete, and that is not allowed; names all of them.
        InstarError: in one sentence, for everything else that the caller can mend.
    """
    first = generalist if isinstance(generalist, Run) else Run(generalist)
    folders = [given.path if isinstance(given, Run) else given_path(given, "a specialist") for given in specialists]
    missing = [folder for folder in folders if not (folder / "result.json").is_file()]
    if missing and not allow_missing:
        names = ", ".join(f"'{folder}'" for folder in missing)
        raise RunError(f"not complete: {names}; run their commands again, or say that they may be missing.")
    runs = [Run(folder) for folder in folders if folder not in missing]
    arguments: dict[str, Any] = {"top": top, "weight": weight, "divergence": divergence}
    if weights is not None:
        if len(weights) != len(folders):
            raise ConfigError(f"weights must be one per specialist ({len(folders)}), got {len(weights)}.")
        arguments["weights"] = [w for folder, w in zip(folders, weights, strict=True) if folder not in missing]
    with opening(Path(out)):
        together = specialists_of(first, runs, trust=trust, **arguments)
    settings = {"model": {"name": SPECIALISTS, "arguments": arguments}}
    facts = {"missing": [str(folder) for folder in missing]} if missing else None
    return make_teacher_run([first, *runs], together, data, out, settings, facts)
