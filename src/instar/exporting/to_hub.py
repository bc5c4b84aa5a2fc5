"""A folder in the layout of the Hugging Face Hub: weights, configuration and model card. Nothing is uploaded."""

from __future__ import annotations

from pathlib import Path

from instar.exporting.card import model_card
from instar.exporting.loading import WEIGHTS_FILE, load_export, sha256
from instar.exporting.student import Predict, Student
from instar.exporting.to_safetensors import write_safetensors
from instar.inspection.description import describe_run
from instar.models.saved_tokenizer import write_tokenizer
from instar.runs.files import write_json, write_whole


def write_hub(student: Student, path: Path) -> Predict:
    """Write `model.safetensors`, `config.json` and `README.md`, and return the model that `instar.load` reads there.

    Raises:
        ConfigError: if the model's class is not trusted.
    """
    path.mkdir()
    # first, because config.json holds the checksum of this file
    write_safetensors(student, path / WEIGHTS_FILE)
    names = student.classes
    # the keys of a Transformers configuration
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    if student.tokenizer is not None:  # as files too, which AutoTokenizer reads
        write_tokenizer(student.tokenizer, path)
    content = {"library_name": "instar", **student.header, **labels, "sha256": sha256(path / WEIGHTS_FILE)}
    write_json(path / "config.json", content)
    card = model_card(describe_run(student.run, trust=student.trust), student)
    write_whole(path / "README.md", lambda temporary: temporary.write_text(card, encoding="utf-8"))
    return load_export(path, trust=student.trust, network=student.network)
