"""Errors of training that the user can act on. Each message says what happened, where, and what to do.

::

    TrainingError
        DataError           data that cannot be read, in training.data
            DamageError     a damaged shard or sample
        ModelError          invalid model options, weights or inputs, in training.model
        GenerationError     invalid images, prompts, motions or outputs, in training.generation
        EvaluationError     clips, captions or weights that cannot be measured, in training.evaluation
"""


class TrainingError(Exception):
    """A run cannot start or continue as requested."""
