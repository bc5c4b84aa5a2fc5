"""What a run folder records for the report: predictions of student and teacher, and some samples to look at.

    examples.safetensors
      test.*, train.*    at most 20,000 and 500 examples: label, predictions, confidences and KL of teacher and student;
                         train samples only if the teacher that training queried knows them without augmentation
      shown.ids          labelled test samples with logits, int64 `[n]`; the first m have inputs to look at
      shown.positions    position in each sample, if samples have positions, int64 `[n]`
      shown.labels       labels, int64 `[n]`
      shown.logits       the teacher's logits less the largest of each sample, float16 `[n, classes]`: at most 256 KiB
      shown.student      the student's logits alike, if predictions.safetensors has no room for logits
      shown.inputs       `[m, ...]`, m at most 64, small images as uint8, rows of numbers or tokens: at most 256 KiB
      sounds.ids         samples with a sound, among the first m, int64 `[k]`
      sounds.waves       their sounds, one after the other, int16: at most 512 KiB
      sounds.starts      start of each sound, and the end of the last one, int64 `[k + 1]`
      sounds.rate        samples of sound per second, int64 `[1]`
      texts.content      the m texts, or pairs of texts, one after the other, as UTF-8, uint8
      texts.ends         end of each text, int64 `[m]`

No test sample is predicted twice for this: the predictions are recorded while the student is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.analysis.scores import UNLABELLED, Scores
from instar.data.batch import Batch
from instar.data.columns.raw import RawColumn
from instar.data.columns.texts import Texts
from instar.data.dataset import Data
from instar.data.recordings import Recordings
from instar.data.samples import Samples
from instar.errors import MismatchError
from instar.runs.files import write_tensors
from instar.runs.run import Run
from instar.seeds import generator
from instar.targets.targets import DenseTargets
from instar.teachers.teacher import Teacher
from instar.training.scoring import Judged, judge

EXAMPLES_FILE = "examples.safetensors"
MAX_RECORDED_BYTES = 64 << 20
"""Logits that are recorded while the student is judged, of samples drawn at random."""
MAX_SHOWN_BYTES = 256 << 10
"""Logits in the file; the inputs may take as much."""
MAX_SOUND_BYTES = 512 << 10
"""Sound in the file: 16 seconds at 16,000 samples a second."""
MAX_TEXT_CHARACTERS = 1000
"""Characters of a text; what follows is left out."""
MAX_SHOWN_SAMPLES, MAX_SHOWN_LOGITS, SAMPLES_OF_A_KIND = 64, 10_000, 12
MAX_TEST_EXAMPLES, MAX_TRAIN_SAMPLES = 20_000, 500
MAX_SIDE_PIXELS = 48
"""Longer side of an image; larger images are averaged down."""


class RecordingTeacher(Teacher):
    """A teacher, or the student, whose logits of some samples are recorded while it is queried.

    Args:
        teacher: teacher whose logits are recorded.
        samples: samples that it will predict.
    """

    def __init__(self, teacher: Teacher, samples: Samples) -> None:
        self.members = (teacher,)
        positions = samples.source.positions
        room = MAX_RECORDED_BYTES // (2 * samples.num_classes * (positions or 1))
        # a sample of many positions has enough examples to choose from
        room = min(room, len(samples) if positions is None else MAX_SHOWN_SAMPLES)
        # the same draw for student and teacher, so that their logits are of the same samples
        wanted = samples.subset(min(room, len(samples)), seed=0).ids if room else samples.ids[:0]
        self._wanted = set(wanted.tolist())
        self._ids: list[Tensor] = []
        self._positions: list[Tensor] = []
        self._logits: list[Tensor] = []

    def targets(self, batch: Batch) -> DenseTargets:
        """Return the teacher's logits."""
        logits = self.members[0].targets(batch).logits()
        numbers = batch.host_ids  # on the host, so that a batch without wanted samples moves nothing
        places = [place for place, number in enumerate(numbers) if number in self._wanted]
        if places:
            found = logits[torch.tensor(places, device=logits.device)].float()
            # float16 keeps what is near to the largest to three digits, and that is where the probability lies
            found = (found - found.max(-1, keepdim=True).values).clamp(min=-6e4).half().cpu()
            positions = 1 if found.dim() == 2 else found.shape[1]
            ids = torch.tensor([numbers[place] for place in places])
            self._ids.append(ids.repeat_interleave(positions))
            self._positions.append(torch.arange(positions).repeat(len(places)))
            self._logits.append(found.flatten(0, -2))
        return DenseTargets(logits)

    def fingerprint(self) -> str:
        """Return the teacher's fingerprint."""
        return self.members[0].fingerprint()

    def recorded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids and positions, int64 `[n]`, and logits less their largest, float16 `[n, classes]`, on the CPU."""
        if not self._ids:
            return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 1)
        return torch.cat(self._ids), torch.cat(self._positions), torch.cat(self._logits)


def keep_examples(
    run: Run,
    student: RecordingTeacher,
    teacher: RecordingTeacher,
    data: Data,
    judged: Judged,
    device: torch.device | str,
    queried: Teacher | None = None,
) -> None:
    """Write what the report shows of student and teacher.

    Args:
        run: the folder.
        student: recorded while it was judged on the test split.
        teacher: recorded beside it.
        data: data of the run.
        judged: the student on the test split.
        device: device of student and teacher.
        queried: the teacher that training queried, for the training samples; None: the teacher itself.
    """
    queried = queried or teacher.members[0]  # the teacher without its recorder, which is for test samples
    tensors = {f"test.{name}": tensor for name, tensor in _few(judged, MAX_TEST_EXAMPLES).items()}
    some = data.train.subset(min(MAX_TRAIN_SAMPLES, len(data.train), len(data.test)), seed=0)
    if queried.knows(some):
        with suppress(MismatchError):  # a store of a few classes, or of one temperature, cannot tell all at T = 1
            train = judge(student.members[0], some, device, teacher=queried, keep=False, observe=False)
            tensors |= {f"train.{name}": tensor for name, tensor in _few(train, MAX_TEST_EXAMPLES).items()}
    shown = _shown(teacher, student, data.test, judged)
    tensors |= {f"shown.{name}": tensor for name, tensor in shown.items()}
    if shown and (sound := data.test.source.sound):
        sounds = _sounds(sound, shown["ids"][: len(shown["inputs"])])
        tensors |= {f"sounds.{name}": tensor for name, tensor in sounds.items()}
    if shown and (raw := data.test.source.raw_inputs):
        kept = _texts(raw, shown["ids"][: len(shown["inputs"])])
        tensors |= {f"texts.{name}": tensor for name, tensor in kept.items()}
    write_tensors(run.path / EXAMPLES_FILE, tensors)


def choose(student: Scores, teacher: Scores, most: int) -> Tensor:
    """Return places of up to `most` examples: first some of every kind to look at, then others at random.

    The kinds, in turn, up to 12 of each: where the student is farthest from the label, where the teacher is wrong and
    sure of it, where the two answer differently, and of each of the first 24 classes the first.
    """
    differs = student.answers != teacher.answers
    # reversed, so that the first place of each label is the one that stays in the dictionary
    firsts = {label: place for place, label in reversed(list(enumerate(teacher.labels.tolist())))}
    kinds = [
        student.nll.argsort(descending=True)[:SAMPLES_OF_A_KIND].tolist(),
        _highest(teacher.confidence, teacher.wrong),
        _highest(student.confidence + teacher.confidence, differs),
        [firsts[label] for label in sorted(firsts)][: 2 * SAMPLES_OF_A_KIND],
    ]
    others = torch.randperm(len(teacher.labels), generator=generator(0, "shown")).tolist()
    in_turn = [kind[place] for place in range(2 * SAMPLES_OF_A_KIND) for kind in kinds if place < len(kind)]
    return torch.tensor(list(dict.fromkeys(in_turn + others))[:most])  # a sample of two kinds is shown once


def small(inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return inputs for people to look at: images and frames `[m, channels, height, width]` as uint8; others as is.

    Args:
        inputs: `[m, ...]`.
        lengths: number of valid positions of each, int64 `[m]`; None if all are valid.

    >>> small(torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])).tolist()
    [[[[0, 127], [255, 63]]]]
    """
    side = MAX_SIDE_PIXELS
    if inputs.dim() == 3 and inputs.is_floating_point():  # frames of a recording: time to the right, high bands above
        inputs = inputs.transpose(1, 2).flip(1)[:, None]
        if lengths is not None:  # each from its beginning to its own end, which not all reach at the same frame
            each = zip(inputs, lengths.tolist(), strict=True)
            inputs = torch.stack([F.adaptive_avg_pool2d(one[..., :n], (one.shape[1], side)) for one, n in each])
    if inputs.dim() != 4 or inputs.shape[1] not in (1, 3):  # neither grey nor RGB
        return inputs
    height, width = inputs.shape[2:]
    longest, pixels = max(height, width), inputs.float()
    if longest > side:
        pixels = F.adaptive_avg_pool2d(pixels, (max(1, height * side // longest), max(1, width * side // longest)))
    if inputs.dtype != torch.uint8:  # the range of other pixels is not known, so theirs is stretched
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) / (high - low).clamp(min=1e-12) * 255
    return pixels.to(torch.uint8)


def _shown(teacher: RecordingTeacher, student: RecordingTeacher, samples: Samples, judged: Judged) -> dict[str, Tensor]:
    ids, positions, logits = teacher.recorded()
    places = samples.places(ids)
    per_sample = samples.source.positions
    index = (places,) if per_sample is None else (places, positions)
    labels, predicted = samples.judged_labels()[index], judged.predictions.get("logits")
    # None: of very many classes, predictions.safetensors has no logits
    own = student.recorded()[2] if predicted is None else predicted[index]
    known = labels != UNLABELLED
    room = min(MAX_SHOWN_BYTES // (2 * logits.shape[1]), MAX_SHOWN_LOGITS)  # two bytes per logit: float16
    # with very many classes there is no room for a few samples of each kind
    if room < SAMPLES_OF_A_KIND or not known.any():
        return {}
    answers, follows = (Scores.of(one[known].float(), labels[known]) for one in (own, logits))
    chosen = known.nonzero()[:, 0][choose(answers, follows, room)]
    source, looked_at = samples.source, ids[chosen[:MAX_SHOWN_SAMPLES]]
    inputs = small(source.inputs[looked_at], None if source.lengths is None else source.lengths[looked_at])
    kept = {"ids": ids[chosen], "labels": labels[chosen], "logits": logits[chosen]}
    if predicted is None:
        kept["student"] = own[chosen]
    kept["inputs"] = inputs[: max(1, MAX_SHOWN_BYTES // max(1, inputs[:1].nbytes))]
    return kept if per_sample is None else kept | {"positions": positions[chosen]}


def _sounds(sound: Recordings, ids: Tensor) -> dict[str, Tensor]:
    chosen, some = sound.choose(ids.tolist(), MAX_SOUND_BYTES)
    return {
        "ids": torch.tensor(chosen, dtype=torch.int64),
        "waves": torch.from_numpy(some.waves),
        "starts": torch.from_numpy(some.starts),
        "rate": torch.tensor([some.rate]),
    }


def _texts(columns: Sequence[RawColumn], ids: Tensor) -> dict[str, Tensor]:
    # both texts of a pair on lines of their own
    pairs = zip(*(column.show(ids) for column in columns), strict=True)
    found = Texts.of(["\n".join(map(_shorten, both)) for both in pairs])
    return {"content": torch.tensor(found.content), "ends": torch.from_numpy(found.ends)}


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else f"{text[:MAX_TEXT_CHARACTERS]} …"


def _highest(values: Tensor, where: Tensor) -> list[int]:
    places = where.nonzero()[:, 0]
    found: list[int] = places[values[places].argsort(descending=True)[:SAMPLES_OF_A_KIND]].tolist()
    return found


def _few(judged: Judged, most: int) -> dict[str, Tensor]:
    theirs, divergences = judged.teacher, judged.divergences
    assert theirs is not None, "a teacher was queried"
    assert divergences is not None, "a teacher was queried"
    # at even distances, so that a split that is sorted by class keeps all of them
    at = torch.linspace(0, len(divergences) - 1, min(most, len(divergences))).round().long()
    mine, theirs = judged.scores.at(at), theirs.at(at)
    return {
        "labels": theirs.labels.int(),
        "teacher_answers": theirs.answers.int(),
        "student_answers": mine.answers.int(),
        "teacher_confidence": theirs.confidence.float(),
        "student_confidence": mine.confidence.float(),
        "divergence": divergences[at].float(),
    }
