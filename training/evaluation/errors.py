"""What evaluation raises where the user must act. Every message is one sentence for a person."""

from training.errors import TrainingError


class EvaluationError(TrainingError):
    """Clips, captions or weights that cannot be measured as they are."""
