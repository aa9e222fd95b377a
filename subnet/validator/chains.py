"""Puts a miner's answers into the order in which it signed them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from subnet.evidence.rounds import chain_order
from subnet.validator.values import Exchange, MinerChain, Placed


def place(
    chain: MinerChain, answered: Sequence[Exchange], *, some_lost: bool
) -> tuple[MinerChain, tuple[Placed, ...], tuple[Exchange, ...]]:
    """The chain with these answers, their places, and those that the miner broke off (`Reason.BAD_CHAIN`).

    `answered` are all answers of the chain without a place yet; `some_lost` says whether a request before the last of
    them got no answer, so that a gap may be the network's fault or ours. Then the evidence starts anew behind the gap
    and nobody is blamed; otherwise answers that follow nothing we know are a fork, and the chain starts anew as well.
    """
    by_digest = {e.response.body.request_digest: e for e in answered if e.response is not None}
    ordered, strays = chain_order(chain.last_link, [e.response for e in answered if e.response is not None])
    placed: list[Placed] = []

    def take(responses) -> None:
        nonlocal chain
        for response in responses:
            placed.append(Placed(by_digest[response.body.request_digest].id, chain.length, chain.piece))
            chain = replace(chain, last_link=response.link, length=chain.length + 1)

    take(ordered)
    while strays and some_lost:
        known = {response.link for response in strays}
        heads = [response for response in strays if response.body.previous not in known] or strays
        first = min(heads, key=lambda response: response.counter)
        chain = replace(chain, piece=chain.piece + 1)
        ordered, strays = chain_order(first.body.previous, strays)
        take(ordered)
    if not strays:
        return chain, tuple(placed), ()
    newest = max(strays, key=lambda response: response.counter)
    chain = replace(chain, last_link=newest.link, piece=chain.piece + 1)
    return chain, tuple(placed), tuple(by_digest[response.body.request_digest] for response in strays)
