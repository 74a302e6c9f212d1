"""Requests -> files: what already lies there and is the same stays; the rest is made, one after the other."""

import dataclasses
import functools
from collections.abc import Callable

from shards.atomic import write_atomically
from training.errors import TrainingError
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import Generated, Generator, draw_why, generate
from training.generation.images import read_source
from training.generation.motions import order_frames
from training.generation.output_paths import OutputPaths, check_output_paths
from training.generation.record import is_made, make_recipe, write_record
from training.generation.requests import Request
from training.generation.writers import write_frames


def make_one(
    generator: Generator, request: Request, places: OutputPaths, config: GenerationConfig, tell: Callable[[str], None]
) -> bool:
    """Make one GIF, its sheet and its record; tell notes. Returns False where all lay there already."""
    if request.motion_px is not None:
        config = dataclasses.replace(config, motion_px=request.motion_px)
    check_output_paths(request.image, places)
    source = read_source(request.image)
    recipe = make_recipe(generator, source.image, request.prompt, config, places.out.suffix.lower())
    files = [places.out] if places.sheet is None else [places.out, places.sheet]
    if is_made(places.out, recipe, files):
        return False
    made = generate(generator, source, request.prompt, config)
    for note in made.notes:
        tell(note)
    write_made(generator, made, request.prompt, places, config)
    told = {"image": str(request.image), "model": generator.place, "notes": list(made.notes)}
    write_record(places.out, recipe, told, files)
    return True


def write_made(
    generator: Generator, made: Generated, prompt: str, places: OutputPaths, config: GenerationConfig
) -> None:
    """Write frames in the order of showing and, where it is wanted, the sheet."""
    write_frames(order_frames(made.frames, config.loop), places.out, config.fps, config.dither)
    if places.sheet is not None:
        with write_atomically(places.sheet) as temporary:
            draw_why(generator, made, prompt, config).save(temporary, format="PNG")


def make_many(
    generator: Generator,
    requests: list[tuple[Request, OutputPaths]],
    config: GenerationConfig,
    tell: Callable[[str], None],
    tell_made: Callable[[str], None],
) -> int:
    """Make all that is not there yet, and tell each; returns how many were made.

    A request that cannot be met is told and passed over. Raises GenerationError at the end
    if there were any.
    """
    num_made, failed = 0, []
    for number, (request, places) in enumerate(requests, start=1):
        try:
            if make_one(generator, request, places, config, functools.partial(_tell_of, tell, request.name)):
                num_made += 1
                tell_made(f"{number} of {len(requests)}: {places.out}")
        except TrainingError as error:
            failed.append(request.name)
            tell(f"{request.name} is passed over: {error}")
    if failed:
        raise GenerationError(f"{len(failed)} of {len(requests)} rows could not be made: {', '.join(failed)}")
    return num_made


def _tell_of(tell: Callable[[str], None], name: str, note: str) -> None:
    tell(f"{name}: {note}")
