"""What stands in a page cannot break out of it, and only the page's own script runs."""

import base64
import hashlib
import json

import pytest

from curation.inspection.web.templates import allow_script, embed_json, read_script


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "a & b > c", "line\u2028end\u2029", 'quote " and \\'])
def test_json_in_a_page_holds_nothing_that_ends_its_element_and_reads_back(text: str) -> None:
    embedded = embed_json({"caption": text})
    assert not set(embedded) & set("<>&\u2028\u2029")
    assert json.loads(embedded) == {"caption": text}


def test_scripts_are_named_by_their_hash() -> None:
    script = read_script("web/browser.js", "report/browse.js")
    assert script.startswith('"use strict";')
    assert "</script" not in script
    assert allow_script(script) == f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
