import dataclasses
import json

import pytest

from subnet.errors import ConfigError
from subnet.verify.profile import Alternative, ToleranceProfile, load_profile, shipped_profiles

SPREAD = {"starts": [[1, 1, 1]], "lengths": [0.0, 1.0], "constant": 0.0, "context": [0.0] * 4, "state": [0.0, 0.0]}


def test_shipped_profiles_load_and_state_how_they_were_measured():
    assert {"smollm2-135m-instruct-fp32", "smollm2-135m-instruct-bf16"} <= set(shipped_profiles())
    for name in shipped_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.threshold == 1e9
        assert profile.measured["tokens"] > 0
        assert profile.measured["fresh_tokens"] > profile.measured["tokens"]


@pytest.mark.parametrize("name", shipped_profiles())
def test_bounds_fall_with_distance_and_leave_headroom_over_what_was_measured(name):
    profile = load_profile(name)
    for row in (*profile.bound, *profile.far_bound):
        assert list(row) == sorted(row, reverse=True)
    assert profile.measured["largest_margin"] < profile.distance_edges[-1]


def test_json_round_trip_keeps_the_digest():
    profile = load_profile("smollm2-135m-instruct-bf16")
    again = ToleranceProfile.from_json(profile.to_json())
    assert again == profile
    assert again.digest() == profile.digest()
    assert dataclasses.replace(profile, threshold=1e8).digest() != profile.digest()


def test_profile_from_a_file(tmp_path):
    profile = load_profile("smollm2-135m-instruct-fp32")
    (tmp_path / "mine.json").write_text(profile.to_json())
    assert load_profile(tmp_path / "mine.json") == profile
    with pytest.raises(ConfigError, match="no tolerance profile"):
        load_profile(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("threshold", 1.0),
        ("tolerance", -0.1),
        ("alternatives", []),
        ("reference", 99),
        ("scale", [0.0, 0.0]),
        ("bound", [[0.0] * 27] * 2),
        ("bound", [[0.5]]),
        ("alternatives", [{"kind": "guess", "strength": 1.0, "weight": 1.0}]),
        ("alternatives", [{"kind": "noise", "strength": -1.0, "weight": 1.0}]),
        (
            "spread",
            {"starts": [[1, 1, 1]], "lengths": [0.0, 1.0], "constant": 0.0, "context": [0.0, 0.0], "state": [0.0, 0.0]},
        ),
        (
            "spread",
            {
                "starts": [[1, 1, 1]],
                "lengths": [0.0, 1.0],
                "constant": 0.0,
                "context": [0.0, 0.0, 0.0, 0.0],
                "state": [0.0, float("nan")],
            },
        ),
        ("spread", SPREAD | {"context": [0.0, 0.0]}),
        ("spread", SPREAD | {"state": [0.0, float("nan")]}),
        ("spread", {"constant": 0.0}),
        ("spread", 1),
        ("scale", [10**400, 1.0, 1.0]),
        ("surprise", 1),
    ],
)
def test_impossible_profiles_are_refused(field, value):
    raw = json.loads(load_profile("smollm2-135m-instruct-fp32").to_json()) | {field: value}
    with pytest.raises(ConfigError):
        ToleranceProfile.from_json(json.dumps(raw))


def test_text_that_is_no_profile_is_refused():
    for text in ("", "[]", "{}", "null"):
        with pytest.raises(ConfigError, match="not a tolerance profile"):
            ToleranceProfile.from_json(text)
    with pytest.raises(ConfigError):
        Alternative("noise", 0.0)
