from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from vision_agent import ConfigError
from vision_agent.config import Config, ServerKeys, load_config, parse_config

DEFAULT = Path(__file__).parents[1] / "configs" / "default.toml"


def test_the_default_file_says_every_default_with_a_comment() -> None:
    assert load_config(DEFAULT) == Config()
    text = DEFAULT.read_text()
    for section, values in asdict(Config()).items():
        body = text.partition(f"[{section}]")[2].partition("\n[")[0]
        for key in values:
            assert re.search(rf"^{key} = ", body, re.MULTILINE), f"{section}.{key} is not in {DEFAULT}"
    keys = [line for line in text.splitlines() if re.match(r"\w+ = ", line) and '"""' not in line]
    assert all("#" in line for line in keys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[vision]\nmax_age_ms = 300", "unknown key vision.max_age_ms: did you mean max_age_s?"),
        ("[vison]", "unknown section vison: did you mean vision?"),
        ("[vision]\nmax_age_s = 300", "vision.max_age_s = 300.0: must be from 0.01 to 60 seconds"),  # ms
        ('[vision]\nmax_age_s = "300ms"', "vision.max_age_s = '300ms': must be a number"),
        ("[vision]\nspeaking_fps = -1", "vision.speaking_fps = -1.0: must be from 0 to 60 frames per second"),
        ("[vision]\nmax_side_px = 768.5", "vision.max_side_px = 768.5: must be a whole number"),
        ("[vision]\nmax_wait_s = nan", "vision.max_wait_s = nan: must be from 0 to 60 seconds"),
        ('[vision]\ndemand = "never"', "vision.demand = 'never': must be always, ready or on_demand"),
        ("[uploads]\nmax_bytes = true", "uploads.max_bytes = True: must be a whole number"),
        ("[uploads]\ntimeout_s = 0", "uploads.timeout_s = 0.0: must be from 0.1 to 3600 seconds"),
        ("vision = 3", "vision = 3: must be a section"),
        ("[vision\n", "not TOML"),
    ],
)
def test_a_bad_value_is_named_with_the_way_out(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load_config(tmp_path / "nowhere.toml")


def test_server_keys_name_what_is_missing_and_are_never_shown() -> None:
    with pytest.raises(ConfigError, match="LIVEKIT_API_KEY, LIVEKIT_API_SECRET not set"):
        ServerKeys.from_environment({"LIVEKIT_URL": "ws://x"})
    with pytest.raises(ConfigError, match="must begin with ws://"):
        ServerKeys.from_environment(
            {"LIVEKIT_URL": "x", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "hidden"}
        )
    keys = ServerKeys(url="ws://x", api_key="visible-not", api_secret="hidden")
    assert "hidden" not in repr(keys) and "visible-not" not in repr(keys)
