"""Settings: defaults < config.toml < environment < argument; a wrong one says where it is."""

from __future__ import annotations

import pytest

from pllib.errors import SettingsError
from pllib.settings import Settings, load


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


def test_a_site_can_switch_capture_off_whatever_the_program_says(config):
    assert load(config, {"SPROV_MODE": "off"}, {"mode": "online"}).mode == "off"


@pytest.mark.parametrize(
    ("environ", "given", "says"),
    [
        ({"SPROV_MODE": "sometimes"}, {}, "online, offline, off"),
        ({"SPROV_FLUSH_AGE_S": "soon"}, {}, "the environment"),
        ({}, {"flush_bites": 1}, "flush_bytes"),
        ({}, {"flush_bytes": 1000}, "4096"),
        ({}, {"close_timeout_s": -1}, "negative"),
    ],
)
def test_a_wrong_setting_says_what_and_where(environ, given, says):
    with pytest.raises(SettingsError, match=says):
        load(None, environ, given)


def test_a_config_that_is_no_toml_is_named(config):
    config.write_text("mode = = 1")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        load(config, {})
