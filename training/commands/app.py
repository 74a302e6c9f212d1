"""`pix2gif app`: a local web page for generation."""

import os
from typing import Annotated

import typer

from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError


def app(
    model: Annotated[str, typer.Option(help="A model: the folder RUN/model, or the name of a hub repository.")],
    port: Annotated[int, typer.Option(help="Of this machine; only its own browsers reach the page.")] = 7860,
    precision: Annotated[str, typer.Option(help="no (float32), bf16 or fp16.")] = "no",
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is unless named.")] = None,
) -> None:
    """Serve a web page on this machine: an image, a prompt and sliders of motion become a GIF. Needs the extra `app`.

    Example: pix2gif app --model run/model
    """
    config = GenerationConfig(precision=precision)  # type: ignore[arg-type]  # The config says what is allowed.
    # Read when gradio is imported: nothing is told to anybody.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        from training.generation.page import THEME, build_page
    except ImportError as error:
        raise GenerationError("the page needs gradio: pip install 'pix2gif[app]'") from error
    from training.generation.generate import load_generator
    from training.runtime.libraries import quieten_libraries

    quieten_libraries()
    generator = load_generator(model, device, config.precision)
    generator.pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    page = build_page(generator)
    typer.echo(f"The page is at http://127.0.0.1:{port}; Ctrl-C ends it.")
    try:
        page.launch(server_name="127.0.0.1", server_port=port, share=False, ssr_mode=False, quiet=True, theme=THEME)
    except OSError as error:
        raise GenerationError(f"port {port} is taken; choose another --port") from error
