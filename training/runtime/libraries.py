"""Silence the progress bars and notes of diffusers, transformers and huggingface_hub."""

import diffusers.utils.logging
import huggingface_hub.utils.logging
import transformers.utils.logging


def quieten_libraries() -> None:
    """Keep diffusers, transformers and the hub from drawing bars and notes among a run's own lines."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.logging.set_verbosity_error()  # It tells each time that it tries again.
