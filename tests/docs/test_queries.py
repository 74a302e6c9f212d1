"""The queries of docs/queries.md answer on a data set, and so do the lines of Python on the dataset card."""

import re

import duckdb
import pytest

from curation.config import CurationConfig
from curation.export.dataset import read_finished, rebuild_catalog
from curation.inspection.plan import make_plan
from curation.options import RunOptions
from curation.pipeline import curate
from curation.run.progress import Progress
from examples.draw_demo import draw_folder
from tests.docs.helpers import ROOT, blocks

pytestmark = pytest.mark.docs
QUERIES = [text for language, text in blocks(ROOT / "docs" / "queries.md") if language == "sql"]


@pytest.mark.xdist_group("queries")
@pytest.mark.parametrize("query", QUERIES, ids=range(1, len(QUERIES) + 1))
def test_query_has_an_answer(query, dataset, monkeypatch):
    monkeypatch.chdir(dataset)
    answer = duckdb.sql(query)
    assert answer.fetchall()
    assert "NULL" not in {str(value) for row in answer.fetchall() for value in row}


@pytest.mark.xdist_group("queries")
def test_the_query_for_another_range_agrees_with_plan(tmp_path, monkeypatch):
    out = tmp_path / "out"
    options = RunOptions(listing=draw_folder(tmp_path / "demo"), out=out, workers=0)
    assert curate(options, CurationConfig(), Progress(quiet=True)).manifest.verdicts["duplicate"] == 2
    (query,) = (query for query in QUERIES if "BETWEEN 3 AND 15" in query)
    config = {"min_motion": 3, "max_motion": 15, "pairs_per_gif": 5}
    finished = read_finished(out)
    resolved = finished.config(config)
    plan = make_plan(finished, rebuild_catalog(finished, options, resolved, reads_gifs=False), resolved)
    num_clips = sum(len(quotas.kept_clips) for quotas in plan.splits.values())
    monkeypatch.chdir(out)
    assert duckdb.sql(query).fetchall() == [(num_clips, plan.num_kept)]


@pytest.mark.xdist_group("queries")
def test_the_card_opens_shards_and_tables(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    code = re.search(r"```python\n(.*?)```", (dataset / "README.md").read_text(), re.DOTALL).group(1)
    names = {}
    exec(code.replace("path/to/this/folder", str(dataset)), names)  # noqa: S102  # As a reader would run it.
    assert next(iter(names["rows"]["train"]))["json"]["split"] == "train"
    assert len(names["clips"]["train"]) == 15
    assert {"clip_key", "motion_px"} <= set(names["flow"]["train"].column_names)
