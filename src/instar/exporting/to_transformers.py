"""A folder that Transformers opens: configuration, weights, and how to read pictures or text."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from instar.compute.inputs import Inputs, name_tensors
from instar.data.instructions.encoding import InstructionTokenizer
from instar.errors import ConfigError, MismatchError
from instar.exporting.card import model_card
from instar.exporting.processor import plan_processor, process, refuse_other_processor
from instar.exporting.student import Predict, Student
from instar.foreign import from_pretrained
from instar.inspection.description import describe_run
from instar.models.audio_classifier import AudioClassifier
from instar.models.causal_lm import CausalLM
from instar.models.feature_extractor import extractor_reader
from instar.models.generation import stopping
from instar.models.image_classifier import ImageClassifier
from instar.models.readers.extracted import Extracted
from instar.models.readers.notation import parse_reader
from instar.models.readers.tokens import Tokens
from instar.models.saved_tokenizer import tokenizer_folder, write_tokenizer
from instar.models.sequence_classifier import SequenceClassifier, TextClassifier
from instar.models.token_classifier import TokenClassifier
from instar.models.transformers_classifier import TransformersClassifier
from instar.runs.files import write_whole

_WHAT = "the export"


def write_transformers(student: Student, path: Path) -> Predict:
    """Write a folder of Transformers, and return the model that Transformers opens there.

    Raises:
        MismatchError: when the student is no model of Transformers, or no processor reads pictures as its run did.
    """
    network = student.model.network
    if student.model.output_scale is not None:
        raise MismatchError(
            "a folder of Transformers holds no scale of predicted numbers, which Instar keeps beside the network; "
            "export to onnx, torchscript or safetensors."
        )
    if isinstance(network, ImageClassifier):
        predict, task = _write_classifier(student, network, path), "image-classification"
    elif isinstance(network, SequenceClassifier):
        predict, task = _write_text_classifier(student, network, path), "text-classification"
    elif isinstance(network, TokenClassifier):
        predict, task = _write_text_classifier(student, network, path), "token-classification"
    elif isinstance(network, AudioClassifier):
        predict, task = _write_audio_classifier(student, network, path), "audio-classification"
    elif isinstance(network, CausalLM):
        predict, task = _write_language_model(network, path), "text-generation"
    else:
        _refuse_family(student)
    card = model_card(describe_run(student.run, trust=student.trust), student, task)
    write_whole(path / "README.md", lambda temporary: temporary.write_text(card, encoding="utf-8"))
    return predict


def _refuse_family(student: Student) -> NoReturn:
    raise MismatchError(
        f"transformers opens its own models alone, and the student of '{student.run.path}' is a '{student.name}'; "
        "export it with --to hub or --to onnx, or train a student transformers:PATH_OR_ID."
    )


def _write_classifier(student: Student, network: ImageClassifier, path: Path) -> Predict:
    plan = plan_processor(student)
    _save_with_classes(student, network, path)
    # plain, because Transformers would take a checksum of ours for a setting
    (path / "preprocessor_config.json").write_text(json.dumps(plan.settings, indent=2) + "\n")
    processor = from_pretrained("AutoImageProcessor", str(path), _WHAT)
    refuse_other_processor(student, processor, is_general=plan.is_general)
    model = _open("AutoModelForImageClassification", path)
    columns = [model.config.label2id[name] for name in student.classes]

    def predict(inputs: Inputs) -> Tensor:
        assert isinstance(inputs, Tensor), "an image model takes one tensor"
        pictures = list(inputs.permute(0, 2, 3, 1).numpy())
        # the inputs of an export are resized already
        values = process(processor, pictures, do_resize=False, do_center_crop=False)
        logits: Tensor = model(pixel_values=values).logits
        return logits[:, columns]

    return predict


def _save_with_classes(student: Student, network: TransformersClassifier, path: Path) -> None:
    names = dict(zip(network.columns, student.classes, strict=True))
    config = network.model.config
    config.id2label = {column: names[column] for column in sorted(names)}
    config.label2id = {name: column for column, name in config.id2label.items()}
    # another type would make the pipeline show sigmoids or logits
    config.problem_type = "single_label_classification"
    network.model.save_pretrained(path)


def _write_text_classifier(student: Student, network: TextClassifier, path: Path) -> Predict:
    _save_with_classes(student, network, path)
    reader = student.model.reader
    if isinstance(reader, Tokens):
        write_tokenizer(reader.knowledge()["tokenizer"], path)
    else:
        with suppress(ConfigError):  # the data hold numbers of words, so the run works without a tokenizer
            from_pretrained("AutoTokenizer", network.path, "the tokenizer of model").save_pretrained(path)
    opened = type(network)(str(path), classes=student.classes).eval()

    def predict(inputs: Inputs) -> Tensor:
        logits: Tensor = opened(**name_tensors(inputs))
        return logits

    return predict


def _write_audio_classifier(student: Student, network: AudioClassifier, path: Path) -> Predict:
    reader = parse_reader(student.header["model"]["reader"], trust=student.trust)
    if not isinstance(reader, Extracted):
        raise MismatchError(
            f"transformers opens audio models that read sound with a feature extractor, and '{student.run.path}' reads "
            f"{reader}; export it with --to hub or --to onnx."
        )
    _save_with_classes(student, network, path)
    (path / "preprocessor_config.json").write_text(json.dumps(json.loads(reader.settings), indent=2) + "\n")
    if extractor_reader(str(path)) != reader:  # another version of Transformers may give settings other defaults
        raise MismatchError("the feature extractor of the export is not that of the run; export it with --to hub.")
    opened = AudioClassifier(str(path), classes=student.classes).eval()

    def predict(inputs: Inputs) -> Tensor:
        logits: Tensor = opened(**name_tensors(inputs))
        return logits

    return predict


def _write_language_model(network: CausalLM, path: Path) -> Predict:
    if network.tokenizer_files is not None or network.tokens:
        with tokenizer_folder(network.tokenizer_files, network.path) as folder:
            # without it, a text would end with a number that is a word of this tokenizer
            settings = stopping(network.model, InstructionTokenizer(folder))
            network.model.generation_config.update(**settings)
            from_pretrained("AutoTokenizer", folder, "the tokenizer of model").save_pretrained(path)
    network.model.save_pretrained(path)
    model = _open("AutoModelForCausalLM", path)

    def predict(inputs: Inputs) -> Tensor:
        assert isinstance(inputs, Tensor), "a causal language model takes one tensor"
        logits: Tensor = model(input_ids=inputs.long(), use_cache=False).logits
        return logits[..., : network.num_classes]  # the rest is padding

    return predict


def _open(kind: str, path: Path) -> Any:
    return from_pretrained(kind, str(path), _WHAT, use_safetensors=True, dtype=torch.float32).eval()
