"""`Report` -> report.html: one self-contained HTML page.

Styles, scripts, charts and pictures are inline; the page makes no network request. Without scripts, everything but
filtering and paging works. All data is escaped. Equal reports give equal bytes.
"""

import base64

from curation.inspection.report.charts import bin_position, list_cells, make_axis, normalize
from curation.inspection.report.report_data import VERDICT_DESCRIPTIONS, Report, SamplePair
from curation.inspection.web.templates import csp_hash, embed_json, load_template, read_scripts
from curation.run.saved_options import RETRIED

NUM_STATIC_PAIRS = 12
"""Pairs that are shown without scripts."""


def render_report(report: Report) -> str:
    """Render the page. It has no timestamp and refers only to files of the data set."""
    script = read_scripts("web/browser.js", "report/browse.js")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {csp_hash(script)}"
    charts = {
        "make_axis": make_axis,
        "list_cells": list_cells,
        "bin_position": bin_position,
        "normalize": normalize,
    }
    return load_template("report/page.html.jinja").render(
        report=report,
        descriptions=VERDICT_DESCRIPTIONS,
        retried=[verdict.value for verdict in RETRIED],
        static_pairs=report.pairs[:NUM_STATIC_PAIRS],
        pairs=embed_json([_to_json(pair) for pair in report.pairs]),
        num_pairs_by_split={
            split.name: sum(pair.split == split.name for pair in report.pairs) for split in report.splits
        },
        policy=policy,
        script=script,
        charts=charts,
    )


def _to_json(pair: SamplePair) -> dict[str, object]:
    """Return the fields that web/browser.js reads; the viewer's server sends the same."""
    return {
        "key": pair.key,
        "caption": pair.caption,
        "split": pair.split,
        "shard": pair.shard,
        "source_index": pair.source_index,
        "target_index": pair.target_index,
        "motion_px": round(pair.motion_px, 4),
        "gap_ms": pair.gap_ms,
        "source": base64.b64encode(pair.source).decode("ascii"),
        "target": base64.b64encode(pair.target).decode("ascii"),
    }
