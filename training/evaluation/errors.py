"""Exceptions of evaluation."""

from training.errors import TrainingError


class EvaluationError(TrainingError):
    """Clips, captions, weights or options that cannot be evaluated."""
