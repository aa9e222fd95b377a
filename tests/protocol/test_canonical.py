from hypothesis import given
from hypothesis import strategies as st

from subnet.protocol import canonical, merkle, records
from tests.protocol.examples import COMMITMENT, REQUEST, answered

TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=150).map(tuple)


@given(TOKENS, TOKENS)
def test_different_token_lists_have_different_commitments(one: tuple[int, ...], two: tuple[int, ...]) -> None:
    assert (canonical.token_commitment(one) == canonical.token_commitment(two)) == (one == two)


def test_padding_is_not_mistaken_for_tokens() -> None:
    assert canonical.token_commitment((5,)) != canonical.token_commitment((5, 0))
    assert canonical.token_commitment(()) != canonical.token_commitment((0,))


@given(TOKENS.filter(bool), st.data())
def test_one_leaf_proves_a_token_in_a_list(tokens: tuple[int, ...], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(tokens) - 1))
    leaves = canonical.token_leaves(tokens)
    index = position // 64
    shown = (tokens + (0,) * 64)[64 * index : 64 * index + 64]
    leaf = merkle.leaf_hash(index.to_bytes(4, "big") + b"".join(token.to_bytes(4, "big") for token in shown))
    root = canonical.token_commitment(tokens)[4:]
    assert merkle.verify_path(leaf, index, len(leaves), merkle.path(leaves, index), root)


MAPS = st.dictionaries(st.text("ab.", max_size=3), st.binary(max_size=3), max_size=3)


@given(MAPS, MAPS)
def test_different_extensions_have_different_digests(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    assert (canonical.extensions_digest(one) == canonical.extensions_digest(two)) == (one == two)


def test_widths_are_fixed() -> None:
    # Fixed offsets are what a contract reads; a change here changes every digest of version 1.
    assert len(records.canonical_bytes(REQUEST)) == 2 + 32 + 2 + 32 + 36 + 3 * 4 + 64 + 8 + 32 + 32 + 16 + 32
    assert len(records.canonical_bytes(COMMITMENT)) == 2 + 32 + 2 + 64 + 8 + 4 + 32 + 8
    assert len(records.canonical_bytes(answered().body)) == 2 + 32 + 36 + 32 + 1 + 32 + 32 + 32 + 32


def test_domains_are_distinct_and_none_is_a_prefix_of_another() -> None:
    domains = [value for name, value in vars(canonical).items() if name.startswith("DOMAIN_")]
    assert len(set(domains)) == len(domains) > 5
    assert not any(a != b and b.startswith(a) for a in domains for b in domains)
