"""A teacher by the name of what makes it: a network that was trained elsewhere, or a teacher of the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from instar.errors import ConfigError, say
from instar.expressions import parse, write
from instar.importing import LIBRARY_PREFIXES, TypedName, import_object, is_import_path
from instar.models.build import call_constructor
from instar.models.causal_lm import TRANSFORMERS_PREFIX
from instar.models.foreign_readers import transformers_reader
from instar.models.image_classifier import ImageClassifier
from instar.models.imported import import_model, names_a_class
from instar.models.readers.notation import READERS, as_reader
from instar.models.readers.reader import Reader
from instar.models.timm_classifier import TIMM_PREFIX, TimmClassifier, timm_reader
from instar.models.transformers_classifier import TransformersClassifier
from instar.models.transformers_kinds import choose_transformers_kind
from instar.models.weight_files import load_weights
from instar.teachers.boosters import fitted_kinds
from instar.teachers.classifier import Classifier, is_estimator
from instar.teachers.conversion import as_teacher
from instar.teachers.given import GivenPredictions
from instar.teachers.model_files import names_a_model_file, read_model_file
from instar.teachers.module import Module
from instar.teachers.regressor import predicts_numbers
from instar.teachers.teacher import Teacher

_KINDS = {"torch.nn.Module": nn.Module, "instar.Teacher": Teacher}


@dataclass(frozen=True)
class ForeignTeacher:
    """A teacher by the name of what makes it; `as_teacher` makes it.

    Args:
        name: `package.module:Name` of a class of `torch.nn.Module` or `Teacher`, of a fitted classifier, or of a
            function that returns one of these; the file of a fitted classifier; `transformers:` with a folder or Hub
            id; or `timm:` with a name of timm.
        arguments: arguments of the class or function, or of `TimmClassifier`.
        weights: file of weights of a network, see `load_weights`; None: those that the class or function makes, or
            those of timm.
        reader: how a network reads inputs, such as `"Pixels(64, mean=[0.5], std=[0.25])"`; None: as its library says,
            or in the size of the data.
        classes: names of the classes of a network, or of an estimator that numbers its classes, in the order of its
            outputs, by which they are matched with the data; (): those that its library knows, or those of the data in
            order.

    Its text is what a run records, and what a configuration may name among its teachers:

    >>> str(ForeignTeacher("nets:Net")), str(ForeignTeacher("nets:Net", {"depth": 18}, "net.pt"))
    ('nets:Net', "ForeignTeacher('nets:Net', arguments={'depth': 18}, weights='net.pt')")
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weights: str | Path | None = None
    reader: str | Reader | None = None
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not (names_a_foreign_teacher(self.name) or names_a_model_file(self.name)):
            raise ConfigError(
                f"arguments, weights, a reader and classes are those of a teacher by package.module:Name or file, got "
                f"'{self.name}'; a run folder has its own."
            )
        if self.name.startswith(TRANSFORMERS_PREFIX) and (self.arguments or self.weights):
            raise ConfigError(f"'{self.name}' holds its weights and arguments; leave out those of the teacher.")
        if not isinstance(self.arguments, Mapping):
            raise ConfigError(f"the arguments of '{self.name}' must be a mapping, got {self.arguments!r}.")
        object.__setattr__(self, "reader", self.reader and as_reader(self.reader))
        object.__setattr__(self, "classes", as_names(self.classes))

    def __str__(self) -> str:
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "name"}
        texts = {name: str(value) if name == "weights" else value for name, value in given.items() if value}
        if not texts:
            return str(self.name)
        return (
            f"ForeignTeacher({str(self.name)!r}, {', '.join(f'{name}={write(text)}' for name, text in texts.items())})"
        )

    def make(self, *, trust: bool) -> Teacher:
        """Return the teacher.

        Args:
            trust: allow a class outside Instar; somebody who types its name as a flag allows it.

        Raises:
            ConfigError: when it is not trusted or cannot be made.
            MismatchError: when the file holds the weights of another network.
        """
        if self.name.startswith(LIBRARY_PREFIXES):
            return self._of_library()
        if names_a_model_file(self.name):
            return self._of_file(trust=trust)
        if not trust and not names_a_class(self.name):
            raise ConfigError(
                f"teacher '{self.name}' is made by code from outside Instar; allow this with --trust (trust=True)."
            )
        found = import_object(self.name, "teacher")
        if is_estimator(found) and not isinstance(found, type):
            return self._as_it_is(found, is_fitted=True)
        # a name that was typed is meant; one in a file may be any function
        declared = not names_a_class(self.name)
        returns = fitted_kinds() if declared else ()
        kind = import_model(self.name, declared=declared, what="teacher", kinds=_KINDS, returns=returns)
        made = call_constructor(kind, self.name, self.arguments, flag="--teacher-arg", what="teacher")
        if not isinstance(made, nn.Module) or isinstance(made, Teacher):  # a user's class may be both
            return self._as_it_is(made)
        if self.weights is not None:
            load_weights(made, self.weights)
        return Module(made, tuple(self.classes) or None, self.reader)

    def _of_library(self) -> Teacher:
        if self.name.startswith(TIMM_PREFIX):
            return _make_timm(self.name, self.arguments, self.weights, self.reader, self.classes)
        return _make_transformers(self.name.removeprefix(TRANSFORMERS_PREFIX), self.reader, self.classes)

    def _of_file(self, *, trust: bool) -> Teacher:
        made = read_model_file(self.name, trust=trust)
        if not is_estimator(made):
            kind = type(made).__name__
            raise ConfigError(
                f"the file '{self.name}' holds a {kind}, and a teacher there must be a fitted classifier."
            )
        return self._as_it_is(made, is_fitted=True)

    def _as_it_is(self, made: Any, *, is_fitted: bool = False) -> Teacher:
        kind = type(made).__name__
        if not isinstance(made, Teacher) and not is_estimator(made):
            raise ConfigError(
                f"teacher '{self.name}' must be a torch.nn.Module, an instar.Teacher or a fitted scikit-learn "
                f"classifier, got {kind}."
            )
        if is_fitted and self.arguments:
            raise ConfigError(f"teacher '{self.name}' is fitted, so it takes no arguments; leave them out.")
        names_classes = self.classes and not is_estimator(made)
        if self.weights is not None or self.reader is not None or names_classes:
            raise ConfigError(
                f"teacher '{self.name}' is a {kind}, which has weights, a way of reading and classes of its own; "
                "leave those out, or return a torch.nn.Module."
            )
        is_classifier = is_estimator(made) and not predicts_numbers(made)
        return Classifier(made, classes=self.classes) if is_classifier else as_teacher(made)


def _make_transformers(path: str, reader: str | Reader | None, classes: Sequence[str]) -> Module:
    network = choose_transformers_kind(path)(path)
    own = reader or transformers_reader(type(network), path)
    if not isinstance(network, TransformersClassifier):
        return Module(network, reader=own)
    if own is None and isinstance(network, ImageClassifier):
        raise ConfigError(
            f"model '{path}' has no image processor, which says how it reads images; give its reader: --teacher-reader "
            '"Pixels(224, mean=[...], std=[...])".'
        )
    names = tuple(classes) or network.classes
    if names is None:
        say(f"instar: the classes of '{path}' are numbers, and are taken to be those of the data in order.")
    return Module(network, names, own)


def _make_timm(
    name: str,
    arguments: Mapping[str, Any],
    weights: str | Path | None,
    reader: str | Reader | None,
    classes: Sequence[str],
) -> Module:
    own = name.removeprefix(TIMM_PREFIX)
    # weights in a file take the place of those of the Hub
    given = {"name": own, "pretrained": weights is None, **arguments}
    network = call_constructor(TimmClassifier, name, given, flag="--teacher-arg")
    assert isinstance(network, TimmClassifier), "it is the class that was called"
    if weights is not None:
        load_weights(network.model, weights)
    return Module(network, tuple(classes) or network.classes, reader or timm_reader(own))


def as_names(classes: Any) -> tuple[str, ...]:
    """Return given names of the classes of a teacher.

    Raises:
        ConfigError: when they are not a list of different names.

    >>> as_names(["dog", "cat", 7])
    ('dog', 'cat', '7')
    """
    is_list = isinstance(classes, list | tuple) and all(type(name) in (str, int) for name in classes)
    if not is_list or len(set(classes)) != len(classes):
        raise ConfigError(
            f"the classes of a teacher must be a list of different names, such as [dog, cat], got {classes!r:.200}."
        )
    return tuple(map(str, classes))


def names_a_foreign_teacher(text: str) -> bool:
    """Return whether a text names a teacher that was trained elsewhere, and not a folder.

    >>> [names_a_foreign_teacher(text) for text in ("nets:Net", "transformers:gpt", "runs/a", "ForeignTeacher('a:B')")]
    [True, True, False, True]
    """
    if text.startswith((*LIBRARY_PREFIXES, "ForeignTeacher(", "GivenPredictions(")):
        return True
    return is_import_path(text) and not os.path.exists(text)  # file names may have a colon


def parse_foreign_teacher(text: str) -> ForeignTeacher | GivenPredictions:
    """Return the teacher that a text names.

    Raises:
        ConfigError: when it names none.

    >>> parse_foreign_teacher("ForeignTeacher('nets:Net', reader=Pixels(64))").reader.size
    64
    """
    if not text.startswith(("ForeignTeacher(", "GivenPredictions(")):
        return ForeignTeacher(text)
    kinds: dict[str, Callable[..., Any]] = {"ForeignTeacher": ForeignTeacher, "GivenPredictions": GivenPredictions}
    found = parse(text, {**kinds, **READERS}, "teacher")
    if isinstance(found, GivenPredictions):
        return found
    if not isinstance(found, ForeignTeacher):
        raise ConfigError(f"teacher '{text}' must be one ForeignTeacher(...).")
    # typing the whole is typing the name inside it
    typed = TypedName(found.name) if isinstance(text, TypedName) else found.name
    return replace(found, name=typed)


@as_teacher.register(ForeignTeacher)
def _of_foreign(thing: ForeignTeacher, *, trust: bool = False) -> Teacher:
    return thing.make(trust=trust)
