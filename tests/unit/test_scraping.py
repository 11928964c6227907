"""The text of `/metrics`, and the token that opens it alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import require_module

from manager.metrics import MANAGER, TRACKER, read_token, render
from pllib.errors import SettingsError

require_module("prometheus_client", "dev")

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

HOSTILE = 'a "reason"\\ with\nlines \ud800'


def test_what_is_written_is_read_back():
    refused = {HOSTILE: 3, "corrupt": 1}
    text = render({"records": 5, "trouble": ""}, {"frames": 7, "refused_by": refused}, "1.0")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["sprov_manager_records"].type == "counter"
    assert families["sprov_manager_records"].samples[0].value == 5
    assert families["sprov_tracker_trouble"].samples[0].value == 0
    samples = families["sprov_tracker_refused"].samples
    by_reason = {sample.labels["reason"]: sample.value for sample in samples}
    assert by_reason == {HOSTILE.replace("\ud800", "?"): 3, "corrupt": 1}
    assert all(family.documentation for family in families.values())


def test_a_tracker_that_is_gone_has_no_counts():
    text = render({"records": 5}, None, "1.0")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["sprov_tracker_up"].samples[0].value == 0
    assert [name for name in families if name.startswith("sprov_tracker_")] == ["sprov_tracker_up"]


def test_a_counter_is_called_total_and_nothing_else_is():
    for metric in (*MANAGER, *TRACKER):
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith(".")
        assert "\n" not in metric.help


def test_a_token_comes_from_a_file_that_not_everybody_reads(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o640)
    assert read_token(str(path)) == "0123456789abcdef"
    assert read_token("") == ""
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="everybody may read"):
        read_token(str(path))
    path.chmod(0o600)
    for wrong in ("", "short", "with a space in it", "x" * 1025, "ümläut-0123456789"):
        path.write_text(wrong)
        with pytest.raises(SettingsError, match="has no token"):
            read_token(str(path))
    with pytest.raises(SettingsError, match="can't be read"):
        read_token(str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="can't be read"):
        read_token(str(tmp_path))
