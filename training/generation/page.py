"""A local web page for generation: image, prompt and motion sliders -> a GIF and the sheet that shows why."""

import tempfile
from pathlib import Path

import gradio as gr

from training.errors import TrainingError
from training.generation.config import TRAINED_MOTION_PX, GenerationConfig, Loop, SchedulerName
from training.generation.generate import Generator, generate
from training.generation.images import read_source
from training.generation.output_paths import OutputPaths
from training.generation.run import write_made

_HOUR_S = 3600
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"])
"""Fonts of the system: named as strings, none is fetched from elsewhere."""


def build_page(generator: Generator) -> gr.Blocks:
    """Build the page around a loaded model. What it makes is forgotten after an hour."""

    def make(
        image: str | None,
        prompt: str,
        least: float,
        most: float,
        num_frames: float,
        loop: Loop,
        scheduler: SchedulerName,
        steps: float,
        seed: float,
    ) -> tuple[str, str, str]:
        """Make a GIF; a user's mistake is shown as one sentence."""
        if image is None:
            raise gr.Error("there is no image; upload one first")
        try:
            config = GenerationConfig(
                motion_px=spread_motion(least, most, int(num_frames)),
                loop=loop,
                scheduler=scheduler,
                num_inference_steps=int(steps),
                seed=int(seed),
                precision=generator.precision,
            )
            made = generate(generator, read_source(Path(image)), prompt, config)
        except TrainingError as error:
            raise gr.Error(str(error)) from error
        folder = Path(tempfile.mkdtemp(dir=page.GRADIO_CACHE))
        places = OutputPaths(out=folder / "pix2gif.gif", sheet=folder / "sheet.png")
        write_made(generator, made, prompt, places, config)
        return str(places.out), str(places.sheet), "\n\n".join(f"Note: {note}" for note in made.notes)

    low, high = TRAINED_MOTION_PX
    page: gr.Blocks = gr.Blocks(title="Pix2Gif", analytics_enabled=False, delete_cache=(_HOUR_S, _HOUR_S))
    with page:
        Path(page.GRADIO_CACHE).mkdir(parents=True, exist_ok=True)
        gr.Markdown("# Pix2Gif\nA frame for each motion, in pixels of a 256 x 256 picture.")
        with gr.Row():
            with gr.Column():
                image = gr.Image(label="Image", type="filepath", image_mode=None, sources=["upload", "clipboard"])
                prompt = gr.Textbox(label="Prompt", placeholder="a cat dancing")
                least = gr.Slider(low, high, value=low, step=1, label="Least motion")
                most = gr.Slider(low, high, value=19, step=1, label="Most motion")
                num_frames = gr.Slider(1, 32, value=8, step=1, label="Frames")
                loop = gr.Radio(["none", "boomerang"], value="none", label="Loop")
                scheduler = gr.Radio(["euler-a", "dpm++"], value="dpm++", label="Scheduler")
                steps = gr.Slider(1, 200, value=20, step=1, label="Steps")
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                button = gr.Button("Generate", variant="primary")
            with gr.Column():
                gif = gr.Image(label="GIF", type="filepath", format="gif", interactive=False)
                sheet = gr.Image(label="Why: the flow of the warping module", type="filepath", interactive=False)
                notes = gr.Markdown()
        button.click(
            make,
            [image, prompt, least, most, num_frames, loop, scheduler, steps, seed],
            [gif, sheet, notes],
            concurrency_limit=1,  # One pipeline, one GIF at a time.
        )
    return page


def spread_motion(least: float, most: float, num_frames: int) -> tuple[float, ...]:
    """Spread whole magnitudes evenly from one to the other, which may be the smaller."""
    if num_frames == 1:
        return (float(round(most)),)
    return tuple(float(round(least + (most - least) * index / (num_frames - 1))) for index in range(num_frames))
