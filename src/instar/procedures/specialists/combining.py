"""`instar specialists combine`: a generalist and its specialists as one run folder, a teacher like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from instar.checks import checked
from instar.config import DataConfig
from instar.data.dataset import Data
from instar.errors import ConfigError, RunError
from instar.models.trained import lend_network
from instar.paths import given_path
from instar.procedures.ensemble import make_teacher_run
from instar.procedures.specialists.clusters import CLUSTERS_FILE, Clusters, name_folder
from instar.runs.run import Run
from instar.teachers.run_folders import SPECIALISTS, make_specialists, refuse_nesting


def folders_in(given: str | Path | Run | Sequence[str | Path | Run]) -> list[Path]:
    """Return run folders; a folder that `train` made is replaced by those of its specialists."""
    found: list[Path] = []
    for one in [given] if isinstance(given, str | Path | Run) else given:
        path = one.path if isinstance(one, Run) else given_path(one, "a specialist")
        # by the clusters and not by what lies there: a specialist that failed may have left no folder at all
        if (path / CLUSTERS_FILE).is_file():
            found += [path / name_folder(number) for number in range(len(Clusters.read(path / CLUSTERS_FILE)))]
        else:
            found.append(path)
    return found


@checked
def combine(
    generalist: str | Path | Run,
    specialists: str | Path | Run | Sequence[str | Path | Run],
    data: Data | str | Sequence[Any] | DataConfig | None = None,
    *,
    out: str | Path,
    top: int = 1,
    weight: float = 1.0,
    weights: Sequence[float] | None = None,
    divergence: Literal["forward", "reverse"] = "forward",
    allow_missing: bool = False,
    network: nn.Module | str | None = None,
    trust: bool = False,
) -> Run:
    """Combine a generalist with its specialists, evaluate the combination, and return its run folder.

    The folder is a teacher: `distill` it into one model, `label` data with it, or `evaluate` it.

    Args:
        generalist: run folder of the generalist.
        specialists: complete run folders of the specialists, or the folder that `train` made for them.
        data: data whose test and validation samples are predicted; None takes the generalist's.
        out: run folder; new, or of the same combination.
        top: a specialist predicts a sample if it has one of this many classes that the generalist finds likeliest.
        weight: weight of the generalist's divergence.
        weights: weights of the specialists' divergences, one each; None takes 1.
        divergence: "forward", KL(p || q) as in the paper, or "reverse", KL(q || p).
        allow_missing: leave out specialists that are not complete; the result lists them.
        network: network of the members that need it: a module, or the `package.module:name` of a function that
            makes it.
        trust: allow members whose model is a class outside `instar.models`.

    Raises:
        RunError: if specialists are not complete and `allow_missing` is not set; names them.
        InstarError: in one sentence, for everything else that the caller can mend.
    """
    first = lend_network(generalist if isinstance(generalist, Run) else Run(generalist), network)
    folders = folders_in(specialists)
    # result.json is written last
    missing = [folder for folder in folders if not (folder / "result.json").is_file()]
    if missing and not allow_missing:
        names = ", ".join(f"'{folder}'" for folder in missing)
        raise RunError(f"not complete: {names}; run their commands again, or allow missing ones (--allow-missing).")
    runs = [lend_network(Run(folder), network) for folder in folders if folder not in missing]
    arguments: dict[str, Any] = {"top": top, "weight": weight, "divergence": divergence}
    if weights is not None:
        # one for each that was given, complete or not, so that the command stays the same when more are complete
        if len(weights) != len(folders):
            raise ConfigError(f"weights must be one per specialist ({len(folders)}), got {len(weights)}.")
        arguments["weights"] = [w for folder, w in zip(folders, weights, strict=True) if folder not in missing]
    # before anything is written: a combination that has itself as a member would never predict
    with refuse_nesting(Path(out)):
        together = make_specialists(first, runs, trust=trust, **arguments)
    settings = {"model": {"name": SPECIALISTS, "arguments": arguments}}
    facts = {"missing": [str(folder) for folder in missing]} if missing else None
    return make_teacher_run([first, *runs], together, data, out, settings, facts, trust=trust)
