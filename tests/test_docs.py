"""Documents that are made from code are as the code is. Remake them with INSTAR_REMAKE_DOCS=1."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic_core import PydanticUndefined

from instar.config import Config, DataConfig, ModelConfig, RunConfig, TrainingConfig

ROOT = Path(__file__).parent.parent


def rows(kind: type[Config], prefix: str) -> list[str]:
    """Return a line of the table for each field."""
    lines = []
    for name, field in kind.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
            continue
        if field.is_required():
            default = "needed"
        else:
            value = field.get_default(call_default_factory=True)
            assert value is not PydanticUndefined
            default = f"`{value!r}`"
        lines.append(f"| `{prefix}{name}` | {default} | {field.description or ''} |")
    return lines


def settings() -> str:
    """Return docs/settings.md."""
    text = [
        "# Settings",
        "",
        "Every setting of a run, as `--set name=value` on the command line, or nested in the file of `--config`.",
        "In Python, those of `data` are arguments of `load_data`; those of a run and of `training` are arguments of "
        "`train`, `distill`,\n`born_again` and `tune`; those of `store` are the dictionary `store`.",
    ]
    for kind, prefix in (
        (RunConfig, ""),
        (DataConfig, "data."),
        (ModelConfig, "model."),
        (TrainingConfig, "training."),
    ):
        text += [
            "",
            f"## {prefix.rstrip('.').capitalize() or 'Run'}",
            "",
            "| setting | default | what it does |",
            "|---|---|---|",
        ]
        text += rows(kind, prefix)
    return "\n".join(text) + "\n"


def test_the_settings_are_documented_as_they_are() -> None:
    path = ROOT / "docs" / "settings.md"
    if os.environ.get("INSTAR_REMAKE_DOCS"):
        path.write_text(settings())
    assert path.read_text() == settings()


def test_every_setting_says_what_it_does() -> None:
    undescribed = [line for line in settings().splitlines() if re.search(r"\|\s+\|$", line)]
    assert undescribed == []


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/log.md", "docs/report.md", "results/README.md"]
)
def test_links_between_documents_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{name} links to {target}"


def test_the_language_model_page_runs_offline_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="needs the extra transformers")
    page = (ROOT / "docs" / "language-models.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(program, "docs/language-models.md", "exec"), found)
    assert found["student"].metrics["perplexity"] < len(found["data"].classes) / 2


def test_the_commands_of_the_speech_page_run_as_they_stand(
    tmp_path: Path, write_recordings: Callable[..., Path]
) -> None:
    random = np.random.default_rng(0)

    def said(count: int) -> list[np.ndarray]:
        """Two words in turn, each a tone of its own in noise."""
        tones = [
            np.sin(np.arange(900) * (0.2 + 0.4 * (at % 2))) + 0.3 * random.standard_normal(900) for at in range(count)
        ]
        return [(6000 * tone[: random.integers(600, 900)]).astype(np.int16) for tone in tones]

    write_recordings(tmp_path / "recordings", {"train": said(120), "test": said(24)})
    page = (ROOT / "docs" / "speech.md").read_text()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for program in re.findall(r"```sh\n(.*?)```", page, re.DOTALL):
        small = program.replace("256,256,256", "8").replace("--epochs 60", "--epochs 20")
        environment = os.environ | {"PATH": path}
        ran = subprocess.run(
            ["bash", "-e"], input=small, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    student = json.loads((tmp_path / "runs" / "student" / "result.json").read_text())["metrics"]
    assert student["words"] == 24
    assert student["word_error"] < 0.1 < student["error"]
