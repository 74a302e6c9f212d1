"""What the model raises where the user must act. Every message is one sentence for a person."""

from training.errors import TrainingError


class ModelError(TrainingError):
    """A choice that cannot be, weights that are not where they are said to be, or inputs that do not fit."""
