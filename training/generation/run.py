"""Run requests: skip outputs that exist already, generate and write the others one by one."""

import dataclasses
from collections.abc import Callable, Sequence

from shards.storage.atomic import write_atomically
from training.errors import TrainingError
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import Generated, Generator, draw_generated_sheet, generate
from training.generation.images import read_source
from training.generation.motions import order_frames
from training.generation.output_paths import OutputPaths
from training.generation.record import is_generated, make_recipe, write_record
from training.generation.requests import Request
from training.generation.writers import write_frames

Print = Callable[[str], None]


def run_request(
    generator: Generator, request: Request, paths: OutputPaths, config: GenerationConfig, print_note: Print
) -> bool:
    """Generate one GIF with its contact sheet and record. Return False if all of them exist already."""
    if request.motion_px is not None:
        config = dataclasses.replace(config, motion_px=request.motion_px)
    paths.check(request.image)
    source = read_source(request.image)
    recipe = make_recipe(generator, source.image, request.prompt, config, paths.out.suffix.lower())
    if is_generated(paths, recipe):
        return False
    generated = generate(generator, source, request.prompt, config)
    for note in generated.notes:
        print_note(note)
    write_generated(generator, generated, request.prompt, paths, config)
    details = {"image": str(request.image), "model": generator.name_or_folder, "notes": list(generated.notes)}
    write_record(paths, recipe, details)
    return True


def write_generated(
    generator: Generator, generated: Generated, prompt: str, paths: OutputPaths, config: GenerationConfig
) -> None:
    """Write the frames in display order and, if `paths` has one, the contact sheet."""
    write_frames(order_frames(generated.frames, config.loop), paths.out, config.fps, config.dither)
    if paths.sheet is not None:
        with write_atomically(paths.sheet) as temporary:
            draw_generated_sheet(generator, generated, prompt, config).save(temporary, format="PNG")


def run_requests(
    generator: Generator,
    requests: Sequence[tuple[Request, OutputPaths]],
    config: GenerationConfig,
    print_note: Print,
    print_progress: Print,
) -> int:
    """Run several requests; return how many were generated.

    A failed request is reported and skipped. Raises GenerationError at the end if any failed.
    """
    num_generated, failed = 0, []
    for number, (request, paths) in enumerate(requests, start=1):

        def print_named(note: str, name: str = request.name) -> None:
            print_note(f"{name}: {note}")

        try:
            if run_request(generator, request, paths, config, print_named):
                num_generated += 1
                print_progress(f"{number} of {len(requests)}: {paths.out}")
        except TrainingError as error:
            failed.append(request.name)
            print_note(f"{request.name} failed: {error}")
    if failed:
        raise GenerationError(f"{len(failed)} of {len(requests)} rows failed: {', '.join(failed)}")
    return num_generated
