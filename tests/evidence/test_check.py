"""A bundle altered in each field: by a stranger, who can't sign it again, and by the validator itself, who can."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subnet.errors import AssayError, ChainError
from subnet.evidence.build import KeptAnswer
from subnet.evidence.bundle import Bundle, SignedBundle, sign_bundle
from subnet.evidence.check import inspect
from subnet.evidence.replay import Result
from subnet.protocol import records
from tests.evidence.world import World, block_hash, verified
from tests.zoo.engines import CHEATS

WORLD = World(rate_ppm=400_000)
KEPT: list[KeptAnswer] = []
MAY_DIFFER = ("software", "scheme")
"""What a validator says about itself. (A scheme is part of a signature: changing it breaks that.)"""


def convicting() -> SignedBundle:
    if not KEPT:
        KEPT.extend(WORLD.answers(CHEATS["temperature_high"], count=16, tokens=8))
    return WORLD.bundle(KEPT)


SIGNED = convicting()


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every leaf in JSON; of long lists the first and the last item."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*path, name))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1}) if value else ():
            yield from places(value[index], (*path, index))
        yield path
    else:
        yield path


def at(value: Any, path: tuple) -> Any:
    for step in path:
        value = value[step]
    return value


def altered(value: Any) -> list[Any]:
    """Other values of the same kind."""
    if isinstance(value, list):
        return [value[1:], [*value, *value[-1:]], value[::-1]]
    if isinstance(value, int):
        return [value + 1, value - 1, 0]
    if value in ("consistent", "inconsistent", "abstain"):
        return [name for name in ("consistent", "inconsistent", "abstain") if name != value]
    if value in ("eos", "length"):
        return ["eos" if value == "length" else "length"]
    if value and set(value) <= set("0123456789abcdef"):
        flipped = "1" if value[0] != "1" else "2"
        last = "1" if value[-1] != "1" else "2"
        return [flipped + value[1:], value[:-1] + last, "00" * (len(value) // 2)]
    return [value + " ", "{}"]


def with_leaf(tree: Any, path: tuple, leaf: Any) -> Any:
    copy = json.loads(json.dumps(tree))
    if not path:
        return leaf
    at(copy, path[:-1])[path[-1]] = leaf
    return copy


TREE = json.loads(SIGNED.to_bytes())
PLACES = sorted(set(places(TREE)), key=str)


def test_the_bundle_itself_convicts() -> None:
    report = verified(SIGNED)
    assert report.result is Result.FOLLOWS
    assert report.verdict == "inconsistent"
    assert SIGNED.bundle.links[-1].request_digest == SIGNED.bundle.answers[-1].request.digest
    assert len(SIGNED.bundle.links) > len(SIGNED.bundle.answers) > 1


def test_the_alterations_reach_every_field() -> None:
    named = {step for path in PLACES for step in path if isinstance(step, str)}
    assert {name for name, _ in records.kinds(Bundle)} <= named | {"bundle"}
    assert len(PLACES) > 120


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_stranger_alters_a_field(path: tuple) -> None:
    original = at(TREE, path)
    for leaf in altered(original):
        if leaf == original:
            continue
        raw = json.dumps(with_leaf(TREE, path, leaf), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            signed = SignedBundle.from_bytes(raw)
        except AssayError:
            continue
        assert inspect(signed).broken


@pytest.mark.parametrize(
    "path", [path[1:] for path in PLACES if path[0] == "bundle" and len(path) > 1], ids=lambda p: ".".join(map(str, p))
)
def test_the_validator_alters_a_field_and_signs_again(path: tuple) -> None:
    tree = TREE["bundle"]
    original = at(tree, path)
    if path[0] in MAY_DIFFER:
        return
    for leaf in altered(original):
        if leaf == original:
            continue
        try:
            signed = sign_bundle(records.from_json(Bundle, with_leaf(tree, path, leaf)), WORLD.validator)
        except AssayError:
            continue
        report = verified(signed)
        if path[-1] == "placement" or (path[-1] == "records" and (leaf == "" or leaf[:-1] == original[:-1])):
            # It may leave out what it could have shown, or differ by the last bit as machines do: the verdict stands.
            assert report.verdict == "inconsistent"
        else:
            assert report.result is not Result.FOLLOWS, (path, leaf)


def test_a_bundle_survives_its_file() -> None:
    raw = SIGNED.to_bytes()
    read = SignedBundle.from_bytes(raw)
    assert read == SIGNED
    assert read.to_bytes() == raw
    assert read.bundle.digest == SIGNED.bundle.digest


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw + b" ",
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b'"verdict":', b'"verdict": '),
        lambda raw: raw.replace(b'"verdict"', b'"Verdict"'),
        lambda raw: raw.replace(b'"version":1', b'"version":2', 1),
        lambda raw: b"\x80" + raw,
        lambda raw: b"[" * 100_000,
    ],
)
def test_other_bytes_are_refused(spoil) -> None:
    with pytest.raises(AssayError):
        SignedBundle.from_bytes(spoil(SIGNED.to_bytes()))


def finding(report, check: str):
    return next(found for found in report.findings if found.check == check)


def test_liar_chain_another_hash_on_the_chain_refutes_the_bundle() -> None:
    report = verified(SIGNED, lambda number: bytes(32) if number else block_hash(0))
    assert report.result is Result.DOES_NOT_FOLLOW
    assert finding(report, "chain's blocks").holds is False


def test_another_network_refutes_the_bundle() -> None:
    report = verified(SIGNED, lambda number: block_hash(number) if number else bytes(32))
    assert "genesis" in finding(report, "chain's blocks").detail
    assert report.result is Result.DOES_NOT_FOLLOW


def test_liar_chain_a_chain_that_does_not_answer_is_an_abstention() -> None:
    def away(number: int) -> bytes:
        raise ChainError("no answer in time")

    for source in (away, lambda number: None):
        report = verified(SIGNED, source)
        assert report.result is Result.ABSTAINS
        assert report.verdict == "inconsistent"


def test_without_a_chain_the_report_says_what_it_rests_on() -> None:
    report = verified(SIGNED, None)
    assert report.result is Result.FOLLOWS
    assert "given the hashes" in finding(report, "chain's blocks").detail


def test_every_finding_of_a_sound_bundle_holds() -> None:
    assert [found.check for found in inspect(SIGNED, block_hash).findings if not found.holds] == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(["manifest", "profile"]), st.data())
@settings(max_examples=150, deadline=None)
def test_no_manifest_and_no_profile_breaks_the_verifier(field: str, data: st.DataObject) -> None:
    """A verifier that a bundle can crash is a verifier that a bundle can silence."""
    tree = json.loads(getattr(SIGNED.bundle, field))
    name = data.draw(st.sampled_from([None, *sorted(tree)]))
    value = data.draw(json_values)
    text = json.dumps(value if name is None else {**tree, name: value}, sort_keys=True, separators=(",", ":"))
    if text != getattr(SIGNED.bundle, field):
        assert inspect(replace(SIGNED, bundle=replace(SIGNED.bundle, **{field: text}))).broken


@pytest.mark.parametrize("field", ["manifest", "profile"])
@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 50_000, "null", "1e999", "NaN", '"\\ud800"'])
def test_texts_that_are_no_json_are_findings(field: str, text: str) -> None:
    assert inspect(replace(SIGNED, bundle=replace(SIGNED.bundle, **{field: text}))).broken


def test_a_bundle_of_another_miner_is_refused() -> None:
    other = replace(SIGNED.bundle, miner=bytes(WORLD.validator.public_key))
    assert inspect(sign_bundle(other, WORLD.validator)).broken
