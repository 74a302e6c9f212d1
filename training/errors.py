"""What training raises where the user must act; one sentence for a person: what, where, what to do.

::

    TrainingError
        DataError               data that cannot be read, in training.data
            DamageError         a shard or a sample of it
        ModelError              choices, weights or inputs that do not fit, in training.model
"""


class TrainingError(Exception):
    """A run cannot begin or go on as it was asked for."""
