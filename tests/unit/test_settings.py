"""Settings: defaults < files < environment < argument; a wrong one says where it is."""

from __future__ import annotations

import math
import os
import sys

import pytest

from pllib.errors import SettingsError
from pllib.settings import (
    SECTIONS,
    Redaction,
    Serving,
    Settings,
    description_of,
    load,
    load_section,
    seconds,
)
from sprov.init import default_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[capture]\nmode = "offline"\nflush_age_s = 1.5\n')
    return path


def test_sources_override_each_other_in_order(config):
    assert load(None, {}) == Settings()
    assert load(config, {}).mode == "offline"
    assert load(config, {"SPROV_FLUSH_AGE_S": "2"}).flush_age_s == 2.0
    assert load(config, {"SPROV_FLUSH_AGE_S": "2"}, {"flush_age_s": 3}).flush_age_s == 3.0


@pytest.mark.parametrize("off", ["off", "OFF", " off "])
def test_a_site_can_switch_capture_off_whatever_else_is_said_or_wrong(config, off):
    config.write_text("mode = = 1")
    assert load(config, {"SPROV_MODE": off}, {"mode": "online", "no such": 1}).mode == "off"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mode": "sometimes"}, "online, offline, off"),
        ({"flush_bites": 1}, "flush_bytes"),
        ({"flush_bytes": 1000}, "4096"),
        ({"flush_bytes": 8 << 20}, "4194304"),
        ({"flush_bytes": 1 << 70}, "4194304"),
        ({"close_timeout_s": -1}, ">= 0"),
        ({"close_timeout_s": math.inf}, "<= 604800"),
        ({"close_timeout_s": math.nan}, ">= 0"),
        ({"flush_age_s": None}, "float"),
        ({"flush_age_s": object()}, "flush_age_s"),
        ({"telemetry_s": True}, "bool"),
        ({"spool_dir": b"/tmp"}, "str"),
    ],
)
def test_a_wrong_argument_is_an_error(given, says):
    with pytest.raises(SettingsError, match=says):
        load(None, {}, given)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"SPROV_MODE": "sometimes"}, "online, offline, off"),
        ({"SPROV_FLUSH_AGE_S": "soon"}, "soon"),
        ({"SPROV_FLUSH_AGE_S": "inf"}, "604800"),
        ({"SPROV_FLUSH_AGE_S": "nan"}, "nan"),
        ({"SPROV_FLUSH_BYTES": "1000"}, "4096"),
    ],
)
def test_a_wrong_variable_is_told_and_what_is_below_it_holds(config, environ, says):
    told = []
    assert load(config, environ, warn=told.append) == load(config, {})
    (line,) = told
    assert "the environment" in line
    assert says in line


def test_what_a_newer_file_has_is_told_and_the_rest_of_it_holds(tmp_path, config):
    site = tmp_path / "site.toml"
    site.write_text(
        "[capture]\ncompression = 'zstd'\nspool_full = 'spill'\nflush_age_s = 7\ntelemetry_s = 5\n"
        "[astrology]\nx = 1\n"
    )
    told: list[str] = []
    settings = load(config, {"SPROV_SITE_CONFIG": str(site)}, warn=told.append)
    assert (settings.spool_full, settings.telemetry_s, settings.flush_age_s) == ("drop", 5.0, 1.5)
    assert [line.split(" in ")[0].split(" to set")[0] for line in told] == [
        f"{site} has no setting 'compression'",
        "spool_full = 'spill'",
    ]
    assert all(str(site) in line for line in told)


@pytest.mark.parametrize(
    ("section", "text"),
    [(Redaction, "[redaction]\nnames = 5\n"), (Serving, "[serve]\nhosts = [1]\n")],
)
def test_no_default_stands_in_for_a_wrong_value_of_what_protects(config, section, text):
    config.write_text(text)
    with pytest.raises(SettingsError, match=r"config\.toml"):
        load_section(section, config, {}, warn=pytest.fail)


def test_a_file_that_is_no_toml_is_named(config):
    config.write_text("mode = = 1")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        load(config, {})


def test_a_file_that_is_no_regular_one_is_not_read(tmp_path):
    fifo = tmp_path / "config.toml"
    os.mkfifo(fifo)
    for path in (str(fifo), "/dev/zero"):
        with pytest.raises(SettingsError, match="not a regular file"):
            load(None, {"SPROV_SITE_CONFIG": path})
    assert load(None, {"SPROV_SITE_CONFIG": os.devnull}) == Settings()


def test_lists_have_colons_in_the_environment_and_numbers_are_texts_where_texts_are_due(config):
    config.write_text("[serve]\nports = 40000\nhosts = 'a'\n")
    served = load_section(Serving, config, {"SPROV_SERVE_HOSTS": "a.example:b.example:"})
    assert (served.ports, served.hosts) == ("40000", ("a.example", "b.example"))


def test_the_file_that_init_writes_has_every_setting_at_its_default(tmp_path):
    """Uncommented it changes nothing."""
    lines = default_config().splitlines()
    text = "\n".join(line.removeprefix("# ") for line in lines if " = " in line or "[" in line[:1])
    found = tomllib.loads(text)
    assert list(found) == [name for name, _ in SECTIONS.values()]
    path = tmp_path / "config.toml"
    path.write_text(text)
    for section, (name, _) in SECTIONS.items():
        assert tuple(found[name]) == section.__struct_fields__
        assert load_section(section, path, {}, warn=pytest.fail) == section()
        assert all(description_of(section, field) for field in section.__struct_fields__)


@pytest.mark.parametrize(
    ("given", "is_so_long"),
    [
        (None, 2),
        (5, 5),
        (0, 0),
        (-1, 0),
        (math.inf, 604800),
        (-math.inf, 0),
        (math.nan, 2),
        ("x", 2),
    ],
)
def test_a_wait_is_bounded(given, is_so_long):
    assert seconds(given, 2.0) == is_so_long
