"""Commands about a miner: `run` is the default, `standing` shows what validators said."""

from __future__ import annotations

from typing import Any

from subnet.miner.answers import AnswerStore


def standing_rows(answers: AnswerStore) -> list[dict[str, Any]]:
    """What each validator last told this miner about itself, as plain values."""
    rows = []
    for validator, at, signed in answers.standings():
        seen = signed.standing
        rows.append(
            {
                "validator": validator, "heard_at": at, "block": seen.block, "state": seen.state,
                "score": seen.score_ppm / 1e6, "weight": seen.weight_ppm / 1e6, "requests": seen.requests,
                "verified": seen.verified, "verified_tokens": seen.verified_tokens,
                "evidence_ln": seen.evidence_milli / 1e3, "threshold_ln": seen.threshold_milli / 1e3,
                "reasons": {reason.code: reason.count for reason in seen.reasons},
            }
        )  # fmt: skip
    return rows
