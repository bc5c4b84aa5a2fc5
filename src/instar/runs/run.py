"""A run folder: the only thing that stages share. It is complete, or it resumes.

    config.json             what was asked for, with the fingerprints of data and teachers
    environment.json        versions, machine, command, commit
    metrics.jsonl           one JSON object per line, appended while training
    checkpoint.safetensors  everything that resuming needs; gone when the run is complete
    best.safetensors        where training may end early, the best weights so far; gone when the run is complete
    weights.safetensors     the trained weights
    model.json              how to build the network that they belong to
    predictions.safetensors logits on the test and validation samples, with their ids
    examples.safetensors    where there was a teacher, some of its answers, and samples to look at
    cost.json               latency, multiply-adds and peak memory
    result.json             the outcome; written last, so its presence means complete

Every file but metrics.jsonl is written under a temporary name and renamed when whole. All hold checksums of their
content, each line of metrics.jsonl its own, and result.json names those of all other files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash
from torch import Tensor

from instar.errors import RunError
from instar.paths import given_path, local_path
from instar.runs.checksums import CHECKSUM, digest, seal, tensors_checksum, unseal
from instar.runs.documents import D, Fields, MetricsLine, ModelFile, ResultFile, RunFile, as_document, read_document
from instar.runs.environment import environment
from instar.runs.files import explain_disk, parse_json, read_tensors, to_json, unsealed, write_json, write_whole
from instar.runs.locks import hold_folder, remove_left_over
from instar.runs.places import other_run

FORMAT = 2
"""1 had no checksums; since 2 they are compared whenever a file is read."""

EXPORTED = (
    "what instar export wrote to safetensors or for the Hub is a model for instar.load(...) in Python, which stands "
    "wherever a module may; on the command line give the run folder that it was exported from."
)
"""For whoever gives an export where a run folder is needed."""

FINISHED = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "weights.safetensors",
    "model.json",
    "predictions.safetensors",
    "examples.safetensors",
    "cost.json",
    "probe.safetensors",
)
"""Files of a complete run that result.json names with their checksums, where they are there."""


class Run:
    """A folder of one run. Opening one reads nothing but the files that are asked for.

    Args:
        path: the folder.

    Raises:
        RunError: when the folder holds no run, or one of a newer format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = given_path(path, "a run folder")
        if not os.path.isfile(self.path / "config.json"):
            hint = f", but a file; {EXPORTED}" if os.path.isfile(self.path) else ": it has no config.json."
            raise RunError(f"'{self.path}' is not a run folder{hint}")
        self._file, self._settings = self._read_config()

    def _read_config(self) -> tuple[RunFile, Fields]:
        path = self.path / "config.json"
        content = parse_json(path)
        if isinstance(content, dict) and content.get("library_name") == "instar":
            raise RunError(f"'{self.path}' is not a run folder, but an exported model; {EXPORTED}")
        if not isinstance(content, dict) or not isinstance(found := content.get("format"), int):
            raise RunError(f"'{self.path}' is not a run folder: its config.json is of another kind.")
        if found > FORMAT:
            raise RunError(
                f"'{self.path}' was written in run format {found}, and this version of Instar reads up to {FORMAT}; "
                "upgrade Instar."
            )
        described = as_document(content, RunFile, path)
        return described, Fields(unsealed(path, content, sealed=found > 1), path)

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
        """Make the folder, or take it up again when it was made with the same configuration and data.

        Args:
            path: the folder.
            config: what to do, as nested values.
            fingerprints: of the data and the teachers.
            defaults: what a setting means that the folder does not have, because it was made before there was one.

        Raises:
            RunError: when it holds a run of another configuration; names the fields that differ.
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
    ) -> Iterator[Run]:
        """Do what `start` does, and hold the folder for this process; the system lets go when the process dies.

        The configuration is read or written, and compared, by whoever holds the folder, and never changes. So another
        process that asks for the same run waits, and finds it complete or takes it up; one that asks for another run
        is refused at once. Where the run is complete nobody need hold it, and nothing is written.
        """
        path = local_path(path, "out")
        asked = {"format": FORMAT, "config": dict(config), "fingerprints": dict(fingerprints)}
        asked = json.loads(to_json(asked))  # as it will be read back: tuples are lists

        def found() -> Run | None:
            run = cls._in(path)
            if run is not None:
                run._refuse_other(asked, {"config": dict(defaults or {})})
            return run

        run = found()
        if run is not None and run.complete:
            remove_left_over(path)
            yield run
            return
        with ExitStack() as held:
            with explain_disk(path):  # and not what is done in it
                held.enter_context(hold_folder(path, found))
                remove_left_over(path)
                run = found() or cls._make(path, asked)
            yield run

    @classmethod
    def _in(cls, path: Path) -> Run | None:
        """Return the run in a folder; none where one may be made there."""
        # a start that was killed may have left hidden files and environment.json
        is_foreign = path.is_file() or (
            path.is_dir() and any(p.name[0] != "." and p.name != "environment.json" for p in path.iterdir())
        )
        if (path / "config.json").exists():  # looked for last, because another process may just have begun
            return cls(path)
        if is_foreign:
            raise RunError(f"'{path}' exists and is not a run folder; choose an empty or new folder.")
        return None

    @classmethod
    def _make(cls, path: Path, content: Mapping[str, Any]) -> Run:
        write_json(path / "environment.json", environment())
        write_json(path / "config.json", content)
        return cls(path)

    def _refuse_other(self, content: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        mine = self._settings | {"format": FORMAT}  # a folder of an older format goes on in it
        if found := other_run(mine, content, defaults):
            raise RunError(
                f"'{self.path}' holds a run of another configuration ({found}); "
                "choose another folder, or delete this one."
            )

    @property
    def config(self) -> dict[str, Any]:
        """What was asked for, as nested values."""
        config: dict[str, Any] = self._settings["config"]
        return config

    @property
    def fingerprints(self) -> dict[str, Any]:
        """Fingerprints of the data and the teachers that the run was started with."""
        found: dict[str, Any] = self._settings["fingerprints"]
        return found

    @property
    def sealed(self) -> bool:
        """Whether its files must have checksums; those of older versions have none."""
        return self._file.format > 1

    @cached_property
    def identity(self) -> str:
        """Hash of configuration and fingerprints: what belongs to this run and to no other."""
        return digest([self.config, self.fingerprints])

    def document(self, name: str, kind: type[D]) -> D:
        """Read one of its JSON files; see `read_document`. A complete run knows its checksum.

        Raises:
            RunError: when it is missing, damaged, of another shape or of another run.
        """
        path = self.path / name
        found = read_document(path, kind, sealed=self.sealed)
        if self.finished.get(name, found.checksum) != found.checksum:
            raise RunError(f"'{path}' is not of this run: result.json names another checksum.")
        return found

    def tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Read one of its files of tensors, and the header; see `read_tensors`. A complete run knows its checksum.

        Raises:
            RunError: when it is missing, damaged or of another run.
        """
        wanted = self.finished.get(name)
        return read_tensors(self.path / name, sealed=self.sealed, checksum=wanted)

    def checksums(self) -> dict[str, str]:
        """Return the checksums of its files by name, for its result; files of older versions have none."""
        found: dict[str, str | None] = {}
        for path in (self.path / name for name in FINISHED if (self.path / name).is_file()):
            if path.suffix == ".json":
                found[path.name] = parse_json(path).get(CHECKSUM)
            elif path.suffix == ".jsonl":
                found[path.name] = xxhash.xxh3_128_hexdigest(path.read_bytes())
            else:
                found[path.name] = tensors_checksum(path, required=False)
        return {name: checksum for name, checksum in found.items() if checksum is not None}

    @property
    def finished(self) -> Mapping[str, str]:
        """Checksums of its files by name, once it is complete; nothing before, or in a folder of an older version."""
        return self._result_file()[0].files if self.complete else {}

    def _result_file(self) -> tuple[ResultFile, dict[str, Any]]:
        path = self.path / "result.json"
        content = parse_json(path)
        found = as_document(content, ResultFile, path)
        values = unsealed(path, content, sealed=self.sealed)
        if found.files.get("config.json", self._file.checksum) != self._file.checksum:
            raise RunError(f"'{path}' is not of this run: it names another checksum of config.json.")
        return found, {name: value for name, value in values.items() if name != "files"}

    @property
    def complete(self) -> bool:
        """Whether the run has reached its end."""
        return (self.path / "result.json").is_file()

    @property
    def result(self) -> dict[str, Any]:
        """The outcome of a complete run.

        Raises:
            RunError: when it is not complete.
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
        """Test metrics of a complete run: errors, error, nll, ece, and agreement where there was a teacher.

        Raises:
            RunError: when it was not judged on the test split.
        """
        metrics: dict[str, Any] | None = self.result["metrics"]
        if metrics is None:
            raise RunError(
                f"'{self.path}' was judged on the validation split alone; instar evaluate judges it on the test split."
            )
        return metrics

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the model answers for.

        Raises:
            RunError: when the folder has no model of its own.
        """
        if not (self.path / "model.json").is_file():
            raise RunError(f"'{self.path}' has no model of its own, whose classes could be known.")
        return tuple(self.document("model.json", ModelFile).classes)

    def members(self) -> list[Path]:
        """Return the folders of its teachers: as they were given, relative to a folder above, or beside this one.

        So they are found from another working directory, and where runs were moved together. Whether they are still
        what they were, their fingerprint says.
        """
        above = self.path.resolve().parents

        def found(given: Path) -> Path:
            places = [given, *(folder / given for folder in above), above[0] / given.name]
            return next((place for place in places if os.path.exists(place)), given)  # the name may be impossible

        return [found(Path(name)) for name in self.config["teachers"]]

    @property
    def weights(self) -> Path:
        """Path of the trained weights."""
        return self.path / "weights.safetensors"

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint; missing before the first and after the end."""
        return self.path / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """Path of the best weights on validation so far; there while a run trains that may end early."""
        return self.path / "best.safetensors"

    def forget_progress(self) -> None:
        """Drop what only resuming needs."""
        for path in (self.checkpoint, self.best):
            path.unlink(missing_ok=True)

    def history(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a last line that was cut short by a kill is left out.

        Raises:
            RunError: when another line is damaged.
        """
        return [values for _, values in self._lines()]

    def _lines(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the whole lines of metrics.jsonl, each as it stands there and what it says."""
        path = self.path / "metrics.jsonl"
        content = path.read_bytes() if path.exists() else b""
        wanted = self.finished.get(path.name) if content else None
        if wanted is not None and wanted != xxhash.xxh3_128_hexdigest(content):
            raise RunError(f"'{path}' is damaged, or not of this run: result.json names another checksum.")
        try:
            lines = content.decode().split("\n")[:-1]
            parsed = [json.loads(line) for line in lines]
            for number, values in enumerate(parsed, start=1):
                as_document(values, MetricsLine, f"{path}, line {number}")
            plain = [Fields(unseal(values, required=self.sealed, key=self.identity), path) for values in parsed]
        except RunError:
            raise
        except (ValueError, RecursionError) as error:
            raise RunError(f"'{path}' is damaged: {error}.") from None
        return list(zip(lines, plain, strict=True))

    def append(self, line: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        with explain_disk(path), path.open("a") as file:
            file.write(to_json(seal(json.loads(to_json(line)), self.identity)) + "\n")

    def num_lines(self) -> int:
        """Return the number of lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def forget_after(self, step: int) -> None:
        """Drop the lines of metrics.jsonl written after `step`, so that resuming does not write them twice."""
        kept = [line for line, values in self._lines() if values["step"] <= step]
        text = "".join(f"{line}\n" for line in kept)
        write_whole(self.path / "metrics.jsonl", lambda temporary: temporary.write_text(text))
