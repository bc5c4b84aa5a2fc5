"""Where the runs of a table were made: seconds, commits, precisions and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from instar.runs.documents import EnvironmentFile
from instar.runs.run import Run


def read_origin(folders: Iterable[Path]) -> dict[str, Any]:
    """Return the training seconds of complete runs, and what they were made with.

    `training_machines` has one entry for each processor, accelerator and precision, with the number of its runs.

    Args:
        folders: run folders; one that is named twice counts once.
    """
    runs = [Run(folder) for folder in dict.fromkeys(folders)]
    environments = [run.document("environment.json", EnvironmentFile) for run in runs]
    precisions = [run.config["training"]["precision"] for run in runs]
    # the number of threads is left out: it decides how long a run takes, and not in which units
    machines = Counter(
        ((found.machine or {}).get("cpu"), (found.machine or {}).get("accelerator"), precision)
        for found, precision in zip(environments, precisions, strict=True)
    )
    names = ("cpu", "accelerator", "precision")
    return {
        "training_seconds": round(sum(run.result["seconds"] for run in runs), 1),
        "training_commits": sorted({str(found.commit) for found in environments}),
        "training_precisions": sorted(set(precisions)),
        "training_machines": [
            {**dict(zip(names, machine, strict=True)), "runs": count} for machine, count in machines.most_common()
        ],
    }


def describe_machines(origin: Mapping[str, Any]) -> str:
    """Return a sentence about the machines and precisions of a table; an empty text if all runs share them.

    >>> one = {"cpu": "AMD EPYC", "accelerator": None, "precision": "float32-fast", "runs": 5}
    >>> describe_machines({"training_machines": [one]})
    ''
    >>> describe_machines({"training_machines": [one, one | {"accelerator": "H200", "precision": "bfloat16"}]})
    'The runs have different units: 5 on AMD EPYC in float32-fast, 5 on H200 in bfloat16.'
    """
    machines = origin["training_machines"]
    if len(machines) < 2:
        return ""
    parts = [f"{one['runs']} on {one['accelerator'] or one['cpu']} in {one['precision']}" for one in machines]
    return f"The runs have different units: {', '.join(parts)}."
