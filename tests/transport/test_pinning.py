import asyncio
import stat
from pathlib import Path

import pytest
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec

from subnet.errors import TransportError
from subnet.transport.axon import Axon, Identity
from subnet.transport.dendrite import Dendrite, Peer
from subnet.transport.nonces import SharedNonceStore
from subnet.transport.outcomes import Outcome, Result
from subnet.transport.pinning import PinnedKeyMismatch, neuron_certificate, pinned_context, server_context
from subnet.transport.server import AxonServer, listen
from tests.transport.axon_process import MINER, MINER_KEY, VALIDATOR
from tests.transport.miner_double import GENESIS, NETUID, MinerDouble


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    _, first = server_context(tmp_path / "tls")
    _, second = server_context(tmp_path / "tls")
    assert first == second and len(first) == 65 and first[0] == 1
    assert stat.S_IMODE((tmp_path / "tls" / "tls.key").stat().st_mode) == 0o600


async def pings(tmp_path: Path) -> list[Outcome[str]]:
    """Through the published key, through another key, and without TLS."""
    context, published = server_context(tmp_path / "tls")
    _, other = server_context(tmp_path / "other")
    with SharedNonceStore(tmp_path / "nonces", slots=64) as nonces:
        axon = Axon(Identity(MINER_KEY, GENESIS, NETUID), MinerDouble(MINER), lambda hotkey: None, nonces)
        async with (
            AxonServer(axon, listen("127.0.0.1", 0), tls=context, grace_seconds=1) as server,
            Dendrite(VALIDATOR, allow_private=True) as dendrite,
        ):
            return [
                await dendrite.ping(Peer(MINER_KEY, "127.0.0.1", server.port, tls_key=key), seconds=10)
                for key in (published, other, None)
            ]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_only_the_published_key_is_accepted(tmp_path: Path, run: object) -> None:
    good, wrong, plain = run(pings(tmp_path))  # type: ignore[operator]
    assert good.ok, good
    assert wrong.result is Result.UNREACHABLE and "not the one that the chain publishes" in wrong.detail
    assert not plain.ok


def test_other_algorithms_are_refused() -> None:
    with pytest.raises(TransportError, match="P-256"):
        neuron_certificate(ec.generate_private_key(ec.SECP384R1()).public_key())
    for published in (b"", b"\x02" + bytes(64), b"\x01" + bytes(10)):
        with pytest.raises(PinnedKeyMismatch):
            pinned_context(published)
