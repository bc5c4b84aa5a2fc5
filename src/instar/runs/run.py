"""A run folder: the only thing that stages share. A run is complete, or it can be resumed.

    config.json             settings, with the fingerprints of data and teachers
    environment.json        versions, machine, command, commit
    metrics.jsonl           one JSON object per line, appended while training
    checkpoint.safetensors  everything that resuming needs; deleted when the run is complete
    best.safetensors        best weights so far, with early stopping; deleted when the run is complete
    weights.safetensors     trained weights
    model.json              how to build the network that the weights belong to
    reader.json             what its reader has learnt from the training samples, if it learns
    tokenizer_files.json    the tokenizer of a language model of Transformers
    predictions.safetensors logits of the test and validation samples, with their ids
    examples.safetensors    some samples, and the teacher's targets for them if there was a teacher
    layers.safetensors      how alike the layers of student and teacher are, if a term compared some
    tree.safetensors        the first trees in words, with the training samples of each node, if the model has some
    columns.safetensors     what the columns of a table do to student and teacher
    cost.json               latency, multiply-adds and peak memory
    result.json             metrics and cost of the finished run; written last, so its presence means "complete"

Every file except metrics.jsonl is written under a temporary name and then renamed. Each file contains a checksum, each
line of metrics.jsonl has its own, and result.json lists the checksums of all other files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import xxhash
from torch import Tensor

from instar.errors import RunError
from instar.paths import given_path, local_path
from instar.runs.checksums import CHECKSUM, digest, tensors_checksum
from instar.runs.config_comparison import describe_difference
from instar.runs.documents import (
    D,
    Fields,
    FunctionProbe,
    ModelFile,
    ResultFile,
    RunFile,
    as_document,
    find_other_function,
    read_document,
)
from instar.runs.environment import environment
from instar.runs.files import explain_disk, parse_json, read_tensors, to_json, unsealed, write_json
from instar.runs.locks import hold_folder, remove_left_over
from instar.runs.metrics_log import MetricsLog
from instar.runs.phases import PHASES_FOLDER, earlier_phases

RUN_FORMAT = 2
"""Version of the run folder. Format 1 had no checksums; format 2 verifies them at every read."""

EXPORT_HINT = (
    "in Python, load an exported model with instar.load(...) and pass the module; on the command line, give the run "
    "folder that it was exported from."
)
"""Advice in errors about an exported model in the place of a run folder."""

SEALED_FILES = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "weights.safetensors",
    "model.json",
    "reader.json",
    "tokenizer_files.json",
    "predictions.safetensors",
    "examples.safetensors",
    "layers.safetensors",
    "tree.safetensors",
    "columns.safetensors",
    "cost.json",
    "probe.safetensors",
)
"""Files of a complete run whose checksums result.json lists, if they exist."""


class Run:
    """The folder of one run. Opening it reads config.json only; other files are read when they are used.

    Args:
        path: path of the folder.

    Raises:
        RunError: when the folder is not a run folder, or has a newer format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = given_path(path, "a run folder")
        if not os.path.isfile(self.path / "config.json"):
            hint = f", but a file; {EXPORT_HINT}" if os.path.isfile(self.path) else ": it has no config.json."
            raise RunError(f"'{self.path}' is not a run folder{hint}")
        self._file, self._settings = self._read_config()

    def _read_config(self) -> tuple[RunFile, Fields]:
        path = self.path / "config.json"
        content = parse_json(path)
        # first whose file it is, because other programs write a config.json too
        if isinstance(content, dict) and content.get("library_name") == "instar":
            raise RunError(f"'{self.path}' is not a run folder, but an exported model; {EXPORT_HINT}")
        if not isinstance(content, dict) or not isinstance(found := content.get("format"), int):
            raise RunError(f"'{self.path}' is not a run folder: another program wrote its config.json.")
        if found > RUN_FORMAT:
            raise RunError(
                f"'{self.path}' was written in run format {found}, and this version of Instar reads up to "
                f"{RUN_FORMAT}; upgrade Instar."
            )
        described = as_document(content, RunFile, path)
        return described, Fields(unsealed(path, content, sealed=found > 1), path)  # format 1 had no checksums

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def start(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        fingerprints: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
    ) -> Run:
        """Create the folder, or open it again if it holds a run with the same configuration and data.

        Args:
            path: path of the folder.
            config: settings of the run, as nested values.
            fingerprints: fingerprints of the data and the teachers.
            defaults: values of settings that are missing in the folder, because an older version created it.

        Raises:
            RunError: when the folder holds a run of another configuration; names the settings that differ.
        """
        with cls.held(path, config, fingerprints, defaults) as run:
            return run

    @classmethod
    @contextmanager
    def held(
        cls,
        path: str | Path,
        config: Mapping[str, Any],
        fingerprints: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
        functions: Mapping[str, FunctionProbe] | None = None,
    ) -> Iterator[Run]:
        """Do what `start` does, and lock the folder for this process; the system unlocks it when the process ends.

        `functions` are compared where the folder has them too, because an older version wrote none.

        Another process with the same configuration waits for the lock, and then resumes the run or finds it complete.
        A process with another configuration is refused at once. A complete run is not locked, and nothing is written.
        """
        path = local_path(path, "out")
        asked = {"format": RUN_FORMAT, "config": dict(config), "fingerprints": dict(fingerprints)}
        asked = json.loads(to_json(asked))  # as it is read back: tuples become lists
        functions = functions or {}

        def found() -> Run | None:
            run = cls._in(path, has_phases=bool(earlier_phases(path, config.get("start"))))
            if run is not None:
                run._refuse_other(asked, {"config": dict(defaults or {})}, functions)
            return run

        run = found()
        if run is not None and run.complete:  # such a folder may be read-only, where no lock can be made
            remove_left_over(path)
            yield run
            return
        with ExitStack() as held:
            with explain_disk(path):  # only for these lines, and not for the work inside the context
                held.enter_context(hold_folder(path, found))
                remove_left_over(path)
                probes = {name: probe.model_dump() for name, probe in functions.items()}
                # again, because another process may have made the run while this one waited
                run = found() or cls._make(path, asked | ({"functions": probes} if probes else {}))
            yield run

    @classmethod
    def _in(cls, path: Path, *, has_phases: bool) -> Run | None:
        """Return the run in a folder; None if the folder is missing, or holds at most the phases before it."""
        own = {"environment.json", PHASES_FOLDER} if has_phases else {"environment.json"}
        # a process that was killed at its start may have left hidden files and environment.json
        is_foreign = path.is_file() or (
            path.is_dir() and any(p.name[0] != "." and p.name not in own for p in path.iterdir())
        )
        if (path / "config.json").exists():  # tested last, because another process may have just created it
            return cls(path)
        if is_foreign:
            raise RunError(f"'{path}' exists and is not a run folder; choose a new or an empty folder.")
        return None

    @classmethod
    def _make(cls, path: Path, content: Mapping[str, Any]) -> Run:
        write_json(path / "environment.json", environment())
        write_json(path / "config.json", content)  # last, because it makes the folder a run folder
        return cls(path)

    def _refuse_other(
        self, content: Mapping[str, Any], defaults: Mapping[str, Any], functions: Mapping[str, FunctionProbe]
    ) -> None:
        mine = self._settings | {"format": RUN_FORMAT}  # a folder keeps its older format
        mine.pop("functions", None)  # compared below, up to rounding
        if found := describe_difference(mine, content, defaults):
            self.refuse_configuration(found)
        if name := find_other_function(self._file.functions, functions):
            self.refuse_configuration(f"{name} has the same weights and computes other logits")

    def refuse_configuration(self, difference: str) -> NoReturn:
        """Refuse to go on with a run of another configuration.

        Raises:
            RunError: names the difference.
        """
        raise RunError(
            f"'{self.path}' contains a run of another configuration ({difference}); "
            "choose another folder, or delete this one."
        )

    @property
    def config(self) -> dict[str, Any]:
        """Settings of the run, as nested values."""
        config: dict[str, Any] = self._settings["config"]
        return config

    @property
    def fingerprints(self) -> dict[str, Any]:
        """Fingerprints of the data and the teachers of the run."""
        found: dict[str, Any] = self._settings["fingerprints"]
        return found

    @property
    def sealed(self) -> bool:
        """Whether all files must have checksums; folders of older versions have none."""
        return self._file.format > 1

    @cached_property
    def identity(self) -> str:
        """Hash of configuration and fingerprints, which tells this run from all others."""
        return digest([self.config, self.fingerprints])

    def document(self, name: str, kind: type[D]) -> D:
        """Read a JSON file of the run with `read_document`; in a complete run, compare its checksum with result.json.

        Raises:
            RunError: when the file is missing, damaged, does not fit its schema or belongs to another run.
        """
        path = self.path / name
        found = read_document(path, kind, sealed=self.sealed)
        # a whole file of another run has a checksum that is right, and not the one of this run
        if self.finished.get(name, found.checksum) != found.checksum:
            raise RunError(f"'{path}' does not belong to this run: result.json names another checksum.")
        return found

    def tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read tensors and header of a file with `read_tensors`; in a complete run, compare its checksum as well.

        Raises:
            RunError: when the file is missing, damaged or belongs to another run.
        """
        wanted = self.finished.get(name)
        return read_tensors(self.path / name, sealed=self.sealed, checksum=wanted)

    def checksums(self) -> dict[str, str]:
        """Return the checksums of the files by name; files of older versions have none."""
        found: dict[str, str | None] = {}
        for path in (self.path / name for name in SEALED_FILES if (self.path / name).is_file()):
            if path.suffix == ".json":
                found[path.name] = parse_json(path).get(CHECKSUM)
            elif path.suffix == ".jsonl":  # its lines are sealed one by one, which misses a line that is gone
                found[path.name] = xxhash.xxh3_128_hexdigest(path.read_bytes())
            else:
                found[path.name] = tensors_checksum(path, required=False)
        return {name: checksum for name, checksum in found.items() if checksum is not None}

    @property
    def finished(self) -> Mapping[str, str]:
        """Checksums in result.json by file name; empty in an incomplete run and in folders of older versions."""
        return self._result_file()[0].files if self.complete else {}

    def _result_file(self) -> tuple[ResultFile, dict[str, Any]]:
        path = self.path / "result.json"
        content = parse_json(path)
        found = as_document(content, ResultFile, path)
        values = unsealed(path, content, sealed=self.sealed)
        # config.json was read first, and tells this run from others
        if found.files.get("config.json", self._file.checksum) != self._file.checksum:
            raise RunError(f"'{path}' does not belong to this run: it names another checksum of config.json.")
        return found, {name: value for name, value in values.items() if name != "files"}

    @property
    def complete(self) -> bool:
        """Whether the run is finished."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """Content of result.json.

        Raises:
            RunError: when the run is not complete.
        """
        if not self.complete:
            raise RunError(f"'{self.path}' is not complete; run its command again to finish it.")
        return Fields(self._result_file()[1], self.path / "result.json")

    def require_complete(self) -> None:
        """Refuse a run that has not reached its end, or whose result is damaged.

        Raises:
            RunError: says which.
        """
        _ = self.result

    @property
    def metrics(self) -> dict[str, Any]:
        """Test metrics of a complete run: errors, error, nll, ece, and agreement with the teacher if there was one.

        Raises:
            RunError: when the run was not evaluated on the test split.
        """
        metrics: dict[str, Any] | None = self.result["metrics"]
        if metrics is None:
            raise RunError(
                f"'{self.path}' was evaluated only on the validation split; run instar evaluate for test metrics."
            )
        return metrics

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's classes.

        Raises:
            RunError: when the folder has no model.
        """
        if not (self.path / "model.json").is_file():
            raise RunError(f"'{self.path}' has no model.json, so its classes are unknown.")
        return tuple(self.document("model.json", ModelFile).classes)

    def members(self) -> list[Path]:
        """Return the run folders of the teachers: as given, relative to a folder above this one, or beside this one."""
        # teachers are found from another working directory, and after all runs were moved together; the caller compares
        # fingerprints, so a wrong folder is refused
        above = self.path.resolve().parents

        def found(given: Path) -> Path:
            places = [given, *(folder / given for folder in above), above[0] / given.name]
            # os.path.exists: the name of a Python object may be no path, at which Path.exists raises
            return next((place for place in places if os.path.exists(place)), given)

        return [found(Path(name)) for name in self.config["teachers"]]

    @property
    def weights(self) -> Path:
        """Path of the trained weights."""
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint, which exists only while the run is incomplete."""
        return self.path / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """Path of the best weights on validation so far, which exists only during training with early stopping."""
        return self.path / "best.safetensors"

    def forget_progress(self) -> None:
        """Delete the files that only resuming needs."""
        for path in (self.checkpoint, self.best):
            path.unlink(missing_ok=True)

    @property
    def metrics_log(self) -> MetricsLog:
        """The lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return MetricsLog(path, self.identity, self.sealed, self.finished.get(path.name))

    def history(self) -> list[dict[str, Any]]:
        """Return the values of all lines of metrics.jsonl.

        Raises:
            RunError: when a line is damaged.
        """
        return [values for _, values in self.metrics_log.read()]
