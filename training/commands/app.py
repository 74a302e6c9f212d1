"""`pix2gif app`: a local web page for generation."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from shards.interface.loopback import HOST
from training.commands.options import Device, Model, Precision
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError


def app(
    model: Model,
    port: Annotated[int, typer.Option(help="Port of the page, on 127.0.0.1 only.")] = 7860,
    precision: Precision = "no",
    device: Device = None,
) -> None:
    """Serve a web page on this machine that makes GIFs from an image, a prompt and motion sliders.

    Needs the extra `app`: pip install 'pix2gif[app]'.

    Example: pix2gif app --model run/model
    """
    config = GenerationConfig(precision=precision)  # type: ignore[arg-type]  # Checked by the config.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # gradio reads it on import.
    try:
        from starlette.middleware import Middleware

        from training.generation.page import THEME, build_page
    except ImportError as error:
        raise GenerationError("the page needs gradio; install it with pip install 'pix2gif[app]'") from error
    from training.generation.generate import load_generator
    from training.generation.page_guard import MAX_UPLOAD_BYTES, PageGuard
    from training.runtime.libraries import silence_libraries

    silence_libraries()
    generator = load_generator(model, device, config.precision)
    generator.pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory(prefix="pix2gif-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build_page(generator)
        typer.echo(f"The page is at http://{HOST}:{port}; press Ctrl-C to stop it.")
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                ssr_mode=False,
                quiet=True,
                theme=THEME,
                max_file_size=MAX_UPLOAD_BYTES,
                app_kwargs={"middleware": [Middleware(PageGuard, folder=Path(folder))]},
            )
        except OSError as error:
            raise GenerationError(f"port {port} is in use; choose another --port") from error
