"""Errors of generation that the user can fix."""

from training.errors import TrainingError


class GenerationError(TrainingError):
    """An image, prompt, motion, setting or output path is not usable."""
