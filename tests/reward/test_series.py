"""Prompt series: the commitment binds secret and profile, and an opened series shows which prompts were drawn."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from reward.prompts import DEFAULT_PROFILE, RequestShape, RoundSecret, Sampling, generate
from reward.series import PromptSeries, Sent, main, place_in, read_series
from subnet.errors import RewardError

SERIES = PromptSeries(RoundSecret(b"\x05" * 32), DEFAULT_PROFILE)
BLOCK, KEY = b"\x01" * 32, b"\x02" * 32


def tokens(conversation) -> tuple[int, ...]:
    return tuple(hashlib.sha256(json.dumps(conversation.as_dicts()).encode()).digest())


def sent(series: PromptSeries, index: int, block: bytes = BLOCK) -> Sent:
    drawn = generate(series.seed(block, KEY), index, series.profile)
    return Sent(block, tokens(drawn.conversation), drawn.sampling.temperature_milli, drawn.sampling.min_p_ppm)


def test_a_drawn_request_is_found_again_from_the_opened_series():
    assert place_in(SERIES, KEY, sent(SERIES, 0), tokens) == 0
    assert place_in(SERIES, KEY, sent(SERIES, 17), tokens) == 17


@pytest.mark.parametrize("change", ["prompt", "block", "key", "temperature_milli"])
def test_a_chosen_prompt_follows_from_no_series(change):
    """The attack: a validator that asks what its friend has prepared, and calls it a drawn prompt."""
    good = sent(SERIES, 3)
    key = KEY
    if change == "prompt":
        good = dataclasses.replace(good, prompt=(1, 2, 3))
    elif change == "block":
        good = dataclasses.replace(good, beacon_hash=b"\x09" * 32)
    elif change == "temperature_milli":
        good = dataclasses.replace(good, temperature_milli=good.temperature_milli + 1)
    else:
        key = b"\x03" * 32
    assert place_in(SERIES, key, good, tokens) is None


def test_commitment_binds_secret_and_profile():
    """The attack: another secret or other distributions, chosen once the block hash is known."""
    organic = [RequestShape(Sampling(850, 30_000, 200), 1, False)]
    others = [
        PromptSeries(RoundSecret(b"\x06" * 32), DEFAULT_PROFILE),
        PromptSeries(RoundSecret(b"\x05" * 32), DEFAULT_PROFILE.fitted(organic)),
    ]
    assert len({SERIES.commitment, *(other.commitment for other in others)}) == 3
    for other in others:
        forged = {**other.to_json(), "commitment": SERIES.commitment.hex()}
        with pytest.raises(RewardError, match="does not fit"):
            read_series(json.dumps({"series": [forged]}))


def test_series_survive_json():
    text = json.dumps({"series": [{**SERIES.to_json(), "commitment": SERIES.commitment.hex(), "first_round": 1}]})
    assert read_series(text) == [(SERIES, SERIES.commitment)]


@pytest.mark.parametrize("text", ["", "[]", '{"series": [{}]}', '{"series": [{"secret": "00", "profile": {}}]}'])
def test_what_is_no_series_is_refused(text):
    with pytest.raises(RewardError):
        read_series(text)


def test_the_command_says_which_requests_of_a_bundle_follow(tmp_path, capsys):
    file = tmp_path / "prompts.json"
    file.write_text('{"series": []}')
    bundle = Path(__file__).resolve().parents[2] / "docs" / "sample-bundle.json"
    assert main([str(file), str(bundle)]) == 1
    assert "follows from none" in capsys.readouterr().out
    assert main([str(tmp_path / "missing.json"), str(bundle)]) == 2
