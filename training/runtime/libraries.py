"""Output of third-party libraries."""

import diffusers.utils.logging
import huggingface_hub.utils.logging
import transformers.utils.logging


def silence_libraries() -> None:
    """Turn off the progress bars, notes and retry messages of diffusers, transformers and huggingface_hub."""
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    huggingface_hub.utils.logging.set_verbosity_error()
