"""The validator's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Mapping

from subnet.config.gates import Mode
from subnet.telemetry.prometheus import Registry
from subnet.validator.replay_client import ReplayClient
from subnet.validator.rounds import Report

METRICS = {
    "block": "Newest finalised block",
    "rounds": "Rounds settled",
    "round_seconds": "Seconds from the first request of a round to its verdicts",
    "requests": "Requests by whether they were answered",
    "replayed_tokens": "Tokens replayed",
    "abstentions": "Selected answers that could not be judged",
    "accusations": "Miners accused",
    "replay_busy_seconds": "Seconds that the replaying process was busy",
    "gate_decisions": "Decisions of each gate against a miner, by the mode it was in",
    "replay_starts": "Starts of the replaying process",
}


def record_round(
    metrics: Registry, report: Report, replay: ReplayClient, gates: Mapping[tuple[str, Mode], int]
) -> None:
    metrics.count("rounds")
    metrics.observe("round_seconds", report.seconds)
    metrics.count("requests", report.answered, outcome="answered")
    metrics.count("requests", max(0, report.asked - report.answered), outcome="unanswered")
    metrics.count("replayed_tokens", report.tokens)
    metrics.count("abstentions", report.abstained)
    metrics.count("accusations", len(report.accused))
    for (gate, mode), count in gates.items():
        metrics.set("gate_decisions", count, gate=gate, mode=mode.value)
    metrics.set("replay_busy_seconds", replay.busy_s)
    metrics.set("replay_starts", replay.restarts)
