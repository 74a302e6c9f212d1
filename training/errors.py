"""What training raises where the user must act; one sentence for a person: what, where, what to do."""


class TrainingError(Exception):
    """A run cannot begin or go on as it was asked for."""
