"""What generation raises where the user must act. Every message is one sentence for a person."""

from training.errors import TrainingError


class GenerationError(TrainingError):
    """An image, a prompt, a motion or an output that cannot be worked with as it is."""
