"""This machine's clock beside the chain's. A wrong clock makes every signed request stale, and that is nobody else's
fault."""

from __future__ import annotations

import time
from collections.abc import Callable

from loguru import logger

from subnet.chain.client import Chain
from subnet.chain.errors import ChainAway, ChainRejected
from subnet.chain.values import Head

AHEAD_S = 30.0
"""How far ahead of the newest block's time we may be, beyond two block times: blocks take time to be made and seen."""
BEHIND_S = 10.0
"""How far behind it: a request that is older than this is refused by every axon."""
STEP_S = 1.0
"""A wall clock that moved this far against the monotonic one was set by hand or by force."""
EVERY_BLOCKS = 25


def clock_trouble(ours: float, chains: float, block_time: float) -> str:
    """What is wrong with our clock (seconds since 1970) by the chain's, or "" where nothing is."""
    ahead = ours - chains
    if -BEHIND_S <= ahead <= AHEAD_S + 2 * block_time:
        return ""
    side = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {abs(ahead):.0f} s {side} the chain's"


class ClockWatch:
    """Compares the clocks now and then, and at once after a step. Feed it heads; read `trouble` and `doubtful`."""

    def __init__(
        self, chain: Chain, wall: Callable[[], float] | None = None, monotonic: Callable[[], float] | None = None
    ) -> None:
        self._chain = chain
        self._wall, self._monotonic = wall or time.time, monotonic or time.monotonic
        self._offset = self._wall() - self._monotonic()
        self._next = 0
        self.trouble = ""

    @property
    def doubtful(self) -> bool:
        """Whether our own clock is, or may be, why a request was called stale."""
        return bool(self.trouble) or self._stepped

    @property
    def _stepped(self) -> bool:
        return abs(self._wall() - self._monotonic() - self._offset) > STEP_S

    async def on_head(self, head: Head, block_time: float) -> None:
        """Looks at the chain's clock where it is time to. A chain that does not tell changes nothing."""
        stepped = self._stepped
        if head.number < self._next and not stepped and not self.trouble:
            return
        try:
            chains = await self._chain.clock()
        except (ChainAway, ChainRejected) as error:
            logger.debug("The chain's clock: {}", error)
            return
        self._next = head.number + EVERY_BLOCKS
        self._offset = self._wall() - self._monotonic()
        before, self.trouble = self.trouble, clock_trouble(self._wall(), chains, block_time)
        if stepped:
            logger.warning("This machine's clock was stepped")
        if self.trouble and not before:
            logger.error("{}: signed requests are refused as stale. Mend it: timedatectl set-ntp true", self.trouble)
        elif before and not self.trouble:
            logger.info("The clock agrees with the chain's again")
