"""Errors of the model that the user can fix."""

from training.errors import TrainingError


class ModelError(TrainingError):
    """A model setting is invalid, weights are missing or damaged, or inputs do not fit the model."""
