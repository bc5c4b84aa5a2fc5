"""Where a student is better than its teacher: on the samples that the teacher told it most about, or elsewhere."""

from __future__ import annotations

import torch

from instar.analysis.scores import Scores


def gain(student: Scores, teacher: Scores) -> dict[str, dict[str, float | None]]:
    """Return, per group of samples, gain = errors of the teacher - errors of the student, and its share of all gain.

    The groups overlap:

    - "all": every labelled sample;
    - "unsure": the teacher's largest probability is in its lowest quarter, ties at the edge included;
    - "wrong": the teacher's answer is not the label, so the student can only gain;
    - "second": of these, the label is the teacher's next answer.

    Args:
        student: its answers; unlabelled samples are left out.
        teacher: its answers about the same samples.

    Returns:
        By group `samples`, `teacher_errors`, `student_errors` and `gain` (counts), and `share`, the group's gain by
        that of all: above 1 where the student loses elsewhere, and none where it gains nothing in all.

    >>> labels = torch.tensor([1, 1, 0])
    >>> teacher = Scores.of(torch.tensor([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0], [9.0, 0.0, 1.0]]), labels)
    >>> student = Scores.of(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), labels)
    >>> found = gain(student, teacher)
    >>> found["all"]
    {'samples': 3, 'teacher_errors': 2, 'student_errors': 1, 'gain': 1, 'share': 1.0}
    >>> {name: group["samples"] for name, group in found.items()}
    {'all': 3, 'unsure': 2, 'wrong': 2, 'second': 2}
    """
    student, teacher = student.known(), teacher.known()
    teacher_wrong, student_wrong, confidence = teacher.wrong, student.wrong, teacher.confidence
    quarter = -(-len(confidence) // 4)
    groups = {
        "all": torch.ones_like(teacher_wrong),
        "unsure": confidence <= confidence.kthvalue(quarter).values,
        "wrong": teacher_wrong,
        "second": teacher_wrong & (teacher.next_answers == teacher.labels),
    }
    total = int(teacher_wrong.sum()) - int(student_wrong.sum())
    found: dict[str, dict[str, float | None]] = {}
    for name, group in groups.items():
        errors = [int((wrong & group).sum()) for wrong in (teacher_wrong, student_wrong)]
        gained = errors[0] - errors[1]
        found[name] = {
            "samples": int(group.sum()),
            "teacher_errors": errors[0],
            "student_errors": errors[1],
            "gain": gained,
            "share": gained / total if total > 0 else None,
        }
    return found
