"""What the validator writes down about every replayed token: enough to run the test again without the model.

For one position the validator knows its own logits, the seed and therefore the token it would have drawn, before it
looks at the claimed one. So a record has two halves. The **prediction** depends on the context and the seed alone: how
far each of the closest competitors is from being drawn (its *distance*: the margin that it would have if it were
claimed), the entropy, how noisy the context is (its *spread*), and what some wrong samplers would draw here. The
**outcome** says which of these happened, and with what margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from subnet.errors import EngineError, ProtocolError
from subnet.sampling import Sampling, host_logits, noise, noise_at, scores
from subnet.sampling.noise import GRID
from subnet.sampling.sampler import contenders

if TYPE_CHECKING:
    import torch

COMPETITORS = 8
"""Closest competitors that a record keeps; every other token is the outcome FAR."""

MATCH = 0
FAR = COMPETITORS + 1
OUTCOMES = COMPETITORS + 2

UNIT = 65536
"""Margins and distances are integers in units of 2**-16 logit."""

NONE = 2**32 - 1
"""The distance of a competitor that is not there."""

SUSPECTS = ("top_k_50", "top_p_90", "temperature_low", "temperature_high", "greedy")
"""Wrong samplers whose choice is predicted: top-k 50, top-p 0.9, 0.75 and 1.25 times the temperature, the plain
argmax.
"""

TOP_K = 50
TOP_P = 0.9
LOW, HIGH = 0.75, 1.25

_WINDOW = 2.0
_WINDOW_BASE = 0.5

RECORD = np.dtype(
    [
        ("outcome", "u1"),
        ("margin", ">u4"),
        ("entropy", ">u2"),
        ("spread", ">u2"),
        ("predicted", "u1", (len(SUSPECTS),)),
        ("distance", ">u4", (COMPETITORS + 1,)),
    ]
)
"""One token in canonical bytes. `entropy` is in thousandths of a nat at temperature 1, `spread` in thousandths of the
average (1000 where the profile predicts none). `distance[8]` is where FAR begins.
"""

ORDINARY = 1000
"""The spread of an ordinary context, and of every context where nothing predicts it."""

UNJUDGED = 65535
"""The spread of a context of whose noise nothing is known: nothing is bet there, whatever was drawn."""


@dataclass(frozen=True, slots=True)
class TokenRecords:
    """Records of consecutive tokens of one completion (structured array [tokens] of dtype RECORD, read-only)."""

    rows: NDArray[np.void]

    def __post_init__(self) -> None:
        if self.rows.dtype != RECORD or self.rows.ndim != 1:
            raise ProtocolError(f"token records are one row of {RECORD.itemsize}-byte fields, not {self.rows.dtype}")
        if len(self.rows) and (self.rows["outcome"].max() > FAR or self.rows["predicted"].max() > FAR):
            raise ProtocolError(f"an outcome in the token records is above {FAR}")
        if len(self.rows) and self.rows["spread"].min() == 0:
            raise ProtocolError("a spread in the token records is zero")
        self.rows.flags.writeable = False

    def __len__(self) -> int:
        return len(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenRecords) and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash(self.encode())

    @property
    def margins(self) -> NDArray[np.float64]:
        """Margin of every claimed token, in logits."""
        return self.rows["margin"].astype(np.float64) / UNIT

    @property
    def matches(self) -> NDArray[np.bool_]:
        """Which claimed tokens are exactly the ones that the validator draws."""
        return self.rows["outcome"] == MATCH

    @property
    def spreads(self) -> NDArray[np.float64]:
        """By how much more than in an ordinary context honest noise is expected to be, as a factor."""
        return self.rows["spread"].astype(np.float64) / ORDINARY

    def with_spreads(self, spreads: NDArray[np.float64]) -> TokenRecords:
        """The same records with other spreads (float64 [tokens], factors)."""
        rows = self.rows.copy()
        rows["spread"] = np.rint(spreads * ORDINARY)
        return TokenRecords(rows)

    def encode(self) -> bytes:
        """Canonical bytes: the rows, big-endian, without padding; the count is the length over the size of a row."""
        return self.rows.tobytes()

    @classmethod
    def decode(cls, data: bytes) -> TokenRecords:
        """Inverse of `encode`. Raises ProtocolError where the length or an outcome is impossible."""
        if len(data) % RECORD.itemsize:
            raise ProtocolError(f"token records have {RECORD.itemsize} bytes each; {len(data)} is no multiple")
        return cls(np.frombuffer(data, RECORD).copy())

    @classmethod
    def join(cls, parts: Sequence[TokenRecords]) -> TokenRecords:
        """The records of several stretches, one after the other."""
        return cls(np.concatenate([part.rows for part in parts]).astype(RECORD) if parts else np.empty(0, RECORD))


def token_records(
    logits: torch.Tensor | NDArray[np.float32],
    tokens: Sequence[int],
    seed: bytes,
    sampling: Sampling,
    start: int = 0,
) -> TokenRecords:
    """Records of the claimed `tokens`, which stand at positions start, start+1, ... of their completion.

    logits: [len(tokens), vocabulary], row i is what the token at start+i was drawn from. All spreads are ORDINARY; who
    has a spread model sets them afterwards. Everything is checked before it is used: ProtocolError for counts and ids
    that cannot be, EngineError for logits that are not finite (ours, not the miner's).
    """
    rows = host_logits(logits)
    if len(rows) != len(tokens):
        raise ProtocolError(f"{len(tokens)} claimed tokens cannot be compared with {len(rows)} rows of logits")
    claimed = check_tokens(tokens, rows.shape[1])
    out = np.zeros(len(claimed), RECORD)
    entropies = entropy(rows)
    for i, (row, token) in enumerate(zip(rows, claimed, strict=True)):
        out[i] = _record(row, token, seed, start + i, sampling, entropies[i])
    return TokenRecords(out)


def window(sampling: Sampling) -> float:
    """Competitors farther than this (logits) are not listed. Within it stand about seven, whatever the temperature."""
    return _WINDOW * sampling.temperature + _WINDOW_BASE


def check_tokens(tokens: Sequence[int], vocabulary: int) -> list[int]:
    """The ids as plain integers. Raises ProtocolError unless each is an integer from 0 to below `vocabulary`."""
    for place, token in enumerate(tokens):
        if isinstance(token, bool) or not isinstance(token, int | np.integer) or not 0 <= token < vocabulary:
            raise ProtocolError(f"token {place} is {token!r}; a token id is an integer from 0 to {vocabulary - 1}")
    return [int(token) for token in tokens]


def entropy(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Entropy in nats of softmax(logits) at temperature 1, for every row (float64 [rows]). EngineError if not
    finite.
    """
    found = np.empty(len(rows))
    for i, row in enumerate(rows):  # one row stays in the cache
        shifted = row - row.max()
        weights = np.exp(shifted)
        total = float(weights.sum(dtype=np.float64))
        found[i] = math.log(total) - float(weights @ shifted) / total if math.isfinite(total) else math.nan
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise EngineError(f"row {row} of the replayed logits is not finite; the replay is broken, nobody is judged")
    return np.maximum(found, 0.0)


def margins(
    values: NDArray[np.float64], found: NDArray[np.float64], places: NDArray[np.intp], cut: float
) -> NDArray[np.float64]:
    """The margin that each of `places` would have if it were claimed, in logits.

    values, found: logits and scores of the tokens under consideration ([n]), which include every allowed token with a
    score above those asked for. `m = max(0, max over allowed w of min(s_w - s_c, l_w - cut)) + max(0, cut - l_c)`: zero
    for the token that is drawn, and continuous where a token enters or leaves min-p's set.
    """
    below = np.maximum(cut - values[places], 0.0)
    allowed = values >= cut
    if math.isinf(cut):
        return np.maximum(found.max() - found[places], 0.0)
    lead = found[allowed][None, :] - found[places][:, None]
    inside = np.broadcast_to(values[allowed][None, :] - cut, lead.shape)
    return np.maximum(np.minimum(lead, inside).max(axis=1), 0.0) + below


def _record(
    logits: NDArray[np.float32], token: int, seed: bytes, position: int, sampling: Sampling, nats: float
) -> tuple[int, int, int, int, tuple[int, ...], tuple[int, ...]]:
    widest = window(sampling)
    cut = sampling.cut(float(logits.max()))
    ids, drawn = _candidates(logits, seed, position, sampling, cut, widest)
    values = logits[ids].astype(np.float64)
    found = scores(logits[ids], drawn, sampling)
    near = np.arange(len(ids)) if cut > -math.inf else np.flatnonzero(found >= found.max() - widest)
    distance = margins(values, found, near, cut)
    order = near[np.argsort(distance, kind="stable")]
    distance = np.sort(distance, kind="stable")
    winner = int(ids[order[0]])
    kept = [int(ids[place]) for place in order[1 : COMPETITORS + 1]]
    distances = [float(value) for value in distance[1 : COMPETITORS + 1]]
    while distances and distances[-1] > widest:
        distances.pop()
        kept.pop()
    far = distances[-1] if len(distances) == COMPETITORS else widest
    listed = {winner: MATCH} | {other: place + 1 for place, other in enumerate(kept)}
    outcome = listed.get(token, FAR)
    if outcome == FAR:
        margin = _far_margin(logits, token, seed, position, sampling, cut)
    else:
        margin = distances[outcome - 1] if outcome else 0.0
    predicted = _suspects(logits, ids, values, drawn, order, sampling, listed)
    fixed = [_fixed(value) for value in distances] + [NONE] * (COMPETITORS - len(distances)) + [_fixed(far)]
    return outcome, _fixed(margin), min(65535, round(nats * 1000)), ORDINARY, predicted, tuple(fixed)


def _candidates(
    logits: NDArray[np.float32], seed: bytes, position: int, sampling: Sampling, cut: float, widest: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Token ids (rising), with their noise, among which are all those whose distance is below `widest`.

    At the edge of min-p's set a token with a low score can be close, so there every token near the set is looked at, or
    the CROWD best of them where the set is very large.
    """
    if sampling.temperature_milli == 0:
        ids = np.flatnonzero(logits >= logits.max() - np.float32(widest))
        return ids, np.zeros(len(ids), np.int32)
    if math.isinf(cut):
        return contenders(logits, seed, position, sampling, widest)
    ids = np.flatnonzero(logits >= cut - widest)
    drawn = noise_at(seed, position, ids)
    if len(ids) > CROWD:
        found = scores(logits[ids], drawn, sampling)
        best = np.sort(np.argsort(-found, kind="stable")[:CROWD])
        ids, drawn = ids[best], drawn[best]
    return ids, drawn


CROWD = 512


def _far_margin(
    logits: NDArray[np.float32], token: int, seed: bytes, position: int, sampling: Sampling, cut: float
) -> float:
    """The margin of a token that is not among the contenders: all allowed tokens are looked at."""
    if math.isinf(cut):
        ids = np.flatnonzero(logits >= -math.inf)
        drawn = noise(seed, position, logits.size) if sampling.temperature_milli else np.zeros(logits.size, np.int32)
    else:
        ids = np.union1d(np.flatnonzero(logits.astype(np.float64) >= cut), [token])
        drawn = noise_at(seed, position, ids)
    found = scores(logits[ids], drawn, sampling)
    place = np.searchsorted(ids, token)
    return float(margins(logits[ids].astype(np.float64), found, np.array([place]), cut)[0])


def _suspects(
    logits: NDArray[np.float32],
    ids: NDArray[np.int64],
    values: NDArray[np.float64],
    drawn: NDArray[np.int32],
    order: NDArray[np.intp],
    sampling: Sampling,
    listed: dict[int, int],
) -> tuple[int, ...]:
    """Which outcome each wrong sampler of SUSPECTS would give here."""
    if sampling.temperature_milli == 0:
        return (MATCH,) * len(SUSPECTS)
    truncated = _truncated(logits, ids, values, order, sampling, listed)
    heated = [
        listed.get(int(ids[np.argmax(values + factor * sampling.temperature * drawn / GRID)]), FAR)
        for factor in (LOW, HIGH)
    ]
    return (*truncated, *heated, listed.get(int(np.argmax(logits)), FAR))


def _truncated(
    logits: NDArray[np.float32],
    ids: NDArray[np.int64],
    values: NDArray[np.float64],
    order: NDArray[np.intp],
    sampling: Sampling,
    listed: dict[int, int],
) -> tuple[int, int]:
    """The first of the ranked tokens that top-k and top-p would have let through."""
    chosen: list[int | None] = [None, None]
    largest = float(logits.max())
    weights: NDArray[np.float32] | None = None
    for place in order[: COMPETITORS + 1]:
        above = np.flatnonzero(logits > values[place])
        outcome = listed.get(int(ids[place]), FAR)
        if chosen[0] is None and len(above) < TOP_K:
            chosen[0] = outcome
        if chosen[1] is None:
            if weights is None:
                weights = np.exp((logits - np.float32(largest)) / np.float32(sampling.temperature))
                total = float(weights.sum(dtype=np.float64))
            if float(weights[above].sum(dtype=np.float64)) < TOP_P * total:
                chosen[1] = outcome
        if None not in chosen:
            break
    return (FAR if chosen[0] is None else chosen[0], FAR if chosen[1] is None else chosen[1])


def _fixed(value: float) -> int:
    return min(NONE - 1, round(value * UNIT))
