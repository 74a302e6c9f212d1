"""Local web page for generation: image, prompt and motion sliders -> a GIF and its contact sheet."""

import tempfile
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData

from training.errors import TrainingError
from training.generation.config import GenerationConfig, Loop, SchedulerName
from training.generation.generate import Generator, generate
from training.generation.images import read_source
from training.generation.motions import spread_motion
from training.generation.output_paths import OutputPaths
from training.generation.run import write_generated

_HOUR_S = 3600
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
"""System fonts: gradio downloads fonts that are not named as strings."""


def _get_path(upload: ImageData | None) -> str | None:
    return upload.path if upload else None


def build_page(generator: Generator) -> gr.Blocks:
    """Build the page around a loaded model. Its files are in GRADIO_TEMP_DIR and are deleted after an hour."""

    def generate_gif(
        image: str | None,
        prompt: str,
        first_motion: float,
        last_motion: float,
        num_frames: float,
        loop: Loop,
        scheduler: SchedulerName,
        steps: float,
        seed: float,
    ) -> tuple[str, str, str]:
        """Return the paths of the GIF and the sheet, and the notes; show a TrainingError to the user."""
        if image is None:
            raise gr.Error("there is no image; upload one first")
        try:
            config = GenerationConfig(
                motion_px=spread_motion(first_motion, last_motion, int(num_frames)),
                loop=loop,
                scheduler=scheduler,
                num_inference_steps=int(steps),
                seed=int(seed),
                precision=generator.precision,
            )
            generated = generate(generator, read_source(Path(image)), prompt, config)
        except TrainingError as error:
            raise gr.Error(str(error)) from error
        folder = Path(tempfile.mkdtemp(dir=page.GRADIO_CACHE))
        paths = OutputPaths(out=folder / "pix2gif.gif", sheet=folder / "sheet.png")
        write_generated(generator, generated, prompt, paths, config)
        return str(paths.out), str(paths.sheet), "\n\n".join(f"Note: {note}" for note in generated.notes)

    low, high = generator.pipeline.trained_on.min_motion, generator.pipeline.trained_on.max_motion
    page: gr.Blocks = gr.Blocks(title="Pix2Gif", analytics_enabled=False, delete_cache=(_HOUR_S, _HOUR_S))
    with page:
        Path(page.GRADIO_CACHE).mkdir(parents=True, exist_ok=True)
        gr.Markdown("# Pix2Gif\nOne frame per motion magnitude, in pixels at 256 x 256.")
        with gr.Row():
            with gr.Column():
                image = gr.Image(label="Image", type="filepath", image_mode=None, sources=["upload", "clipboard"])
                # gradio would open the upload with any decoder of Pillow; read_source checks it first.
                image.preprocess = _get_path  # type: ignore[assignment]
                prompt = gr.Textbox(label="Prompt", placeholder="a cat dancing")
                first_motion = gr.Slider(low, high, value=low, step=1, label="Motion of the first frame")
                last_motion = gr.Slider(low, high, value=high, step=1, label="Motion of the last frame")
                num_frames = gr.Slider(1, 32, value=8, step=1, label="Number of frames")
                loop = gr.Radio(["none", "boomerang"], value="none", label="Loop")
                scheduler = gr.Radio(["euler-a", "dpm++"], value="dpm++", label="Scheduler")
                steps = gr.Slider(1, 200, value=20, step=1, label="Steps")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                button = gr.Button("Generate", variant="primary")
            with gr.Column():
                gif = gr.Image(label="GIF", type="filepath", format="gif", interactive=False)
                sheet = gr.Image(label="Flow of the warping module", type="filepath", interactive=False)
                notes = gr.Markdown()
        button.click(
            generate_gif,
            [image, prompt, first_motion, last_motion, num_frames, loop, scheduler, steps, seed],
            [gif, sheet, notes],
            concurrency_limit=1,  # The pipeline is not thread-safe.
        )
    return page
