import dataclasses
import json

import pytest

from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.output_paths import OutputPaths
from training.generation.requests import Request
from training.generation.run import run_request, run_requests

CONFIG = GenerationConfig(motion_px=(2.0, 19.0), num_inference_steps=1)


@pytest.fixture
def run(generator, cat, tmp_path):
    def run(config=CONFIG, prompt="a cat", out="cat.gif"):
        paths = OutputPaths(out=tmp_path / "out" / out, sheet=tmp_path / "out" / "sheet.png")
        return run_request(generator, Request(image=cat, prompt=prompt, name="cat"), paths, config, print)

    return run


def test_bytes_depend_on_the_seed_only(run, tmp_path):
    outputs = []
    for seed in (1, 1, 2):
        for path in (tmp_path / "out").glob("*"):
            path.unlink()
        assert run(dataclasses.replace(CONFIG, seed=seed))
        outputs.append([(tmp_path / "out" / name).read_bytes() for name in ("cat.gif", "sheet.png")])
    assert outputs[0] == outputs[1]
    assert outputs[0][0] != outputs[2][0]


def test_only_complete_outputs_of_the_same_recipe_are_skipped(run, tmp_path):
    out = tmp_path / "out"
    assert run()
    record = json.loads((out / "cat.json").read_text())
    assert record["recipe"]["settings"]["seed"] == 0
    assert not run()
    assert run(prompt="another cat")
    assert run()
    complete = (out / "cat.gif").read_bytes()
    (out / "cat.gif").write_bytes(complete[:-20])
    assert run()
    assert (out / "cat.gif").read_bytes() == complete
    (out / "sheet.png").unlink()
    assert run()
    (out / "cat.json").unlink()
    assert run()


def test_a_foreign_file_at_the_records_path_is_not_overwritten(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cat.json").write_text('{"mine": 1}')
    with pytest.raises(GenerationError, match=r"cat\.json is not a record of pix2gif"):
        run()
    assert (tmp_path / "out" / "cat.json").read_text() == '{"mine": 1}'


def test_a_failed_row_does_not_stop_the_others(generator, cat, tmp_path):
    notes, progress = [], []
    rows = [(cat, None), (tmp_path / "none.png", None), (cat, (5000.0,)), (cat, None)]
    requests = [
        (
            Request(image=image, prompt="a cat", motion_px=motion_px, name=f"{row}"),
            OutputPaths(out=tmp_path / "out" / f"{row}.gif"),
        )
        for row, (image, motion_px) in enumerate(rows)
    ]
    with pytest.raises(GenerationError, match="2 of 4 rows failed: 1, 2"):
        run_requests(generator, requests, CONFIG, notes.append, progress.append)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.gif")) == ["0.gif", "3.gif"]
    assert "1 failed: there is no image" in notes[0]
    assert "2 failed: the motion 5000 is not in the embedding" in notes[1]
    assert [line.partition(":")[0] for line in progress] == ["1 of 4", "4 of 4"]
