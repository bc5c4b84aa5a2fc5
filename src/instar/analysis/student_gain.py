"""Groups of samples on which a student is better than its teacher."""

from __future__ import annotations

import torch

from instar.analysis.scores import Scores


def gain(student: Scores, teacher: Scores) -> dict[str, dict[str, float | None]]:
    """Return, per group of samples, gain = teacher errors - student errors, and its share of the total gain.

    The groups overlap:

    - "all": all labelled samples;
    - "unsure": the quarter of samples with the lowest confidence of the teacher, including ties at the edge;
    - "wrong": samples that the teacher gets wrong, where the student can only gain;
    - "second": samples of "wrong" whose label is the teacher's second class.

    Args:
        student: scores of the student; unlabelled samples are left out.
        teacher: scores of the teacher on the same samples.

    Returns:
        By group, the counts `samples`, `teacher_errors`, `student_errors` and `gain`, and `share`, the gain of the
        group divided by the total gain: above 1 if the student loses elsewhere, None if it gains nothing in total.

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
    quarter = -(-len(confidence) // 4)  # rounded up, so that it is never empty
    groups = {
        "all": torch.ones_like(teacher_wrong),
        # by value and not by place, so that samples of equal confidence are on the same side
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
            # a share of a total loss would have the wrong sign
            "share": gained / total if total > 0 else None,
        }
    return found
