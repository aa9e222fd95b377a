"""Appeals and peers, between real processes: a bundle is fetched, a lie is refused, a false doubt expires."""

import contextlib
import dataclasses

import httpx
import pytest

from subnet.chain import Chain
from subnet.chain.owner import open_wallet
from subnet.evidence.bundle import SignedBundle, sign_bundle
from subnet.evidence.ledger import Entry, EntryKind, log_of
from subnet.evidence.slashing import Reason, may_earn
from subnet.evidence.slashing import from_json as standing_from_json
from subnet.protocol import public_key
from subnet.telemetry.operations import Operations
from subnet.transport.server import listen
from subnet.validator.accuse import write_bundle
from subnet.validator.peers import Root
from subnet.validator.public import PATH_BUNDLE, public_routes
from subnet.validator.state import Store
from tests.neurons.world import World, tiny_model, until

ZOO = ("--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option")


def standing(world, name):
    rows = world.rows("judge", f"SELECT standing FROM miners WHERE hotkey = '{world.hotkeys[name]}'")
    return standing_from_json(rows[0][0]) if rows and rows[0][0] else None


def decided(world, name):
    """The reasons of all decisions and opinions about a miner in the judge's ledger."""
    found = [Entry.from_bytes(row[0]) for row in world.rows("judge", "SELECT entry FROM ledger ORDER BY idx")]
    return [Reason(e.reason) for e in found if e.subject == public_key(world.hotkeys[name]) and e.reason]


@contextlib.asynccontextmanager
async def peer(world, name, store):
    """A second validator that is nothing but a ledger, bundles and a root on the chain: what a liar needs."""
    hotkey = open_wallet(world.folder / "wallets", name, "default").hotkey
    chain = Chain(world.endpoint, timeout_s=10)
    public = Operations(public_routes(store))
    await public.serve(listen("127.0.0.2", 0))
    from subnet.chain.values import Endpoint

    async def publish():
        leaves = store.leaves()
        await chain.publish(world.netuid, Root(len(leaves), log_of(leaves).root).text(), hotkey)

    try:
        await chain.serve_axon(world.netuid, Endpoint("127.0.0.2", public.port), hotkey)
        yield hotkey, publish
    finally:
        await public.stop()
        await chain.close()


@pytest.mark.slow
async def test_a_false_doubt_expires_and_a_lying_peers_bundle_is_refused(tmp_path):
    """The liar says that the cheat is honest, and shows the cheat's bundle with the honest miner's name in it."""
    world = World(tmp_path, block_time=0.5, model=tiny_model(tmp_path / "model"), request_s=5)
    store = Store(tmp_path / "liar")
    try:
        await world.open(["judge", "liar"], ["cheat", "honest"])
        world.add("miner", "cheat", *ZOO, "adversary=wrong_seed").start()
        world.add("miner", "honest").start()
        await until(lambda: all(world.url(name) for name in ("cheat", "honest")), 90, "the miners serve")
        world.add("validator", "judge", "--validator.suspend_blocks", "16", "--validator.commit_blocks", "5").start()
        await until(lambda: (s := standing(world, "cheat")) and not may_earn(s), 150, "the judge accuses the cheat")
        [case] = standing(world, "cheat").cases

        # An appeal: whoever asks the judge's published endpoint is given the bundle, the miner as well as the liar.
        chain = Chain(world.endpoint, timeout_s=10)
        neuron = (await chain.snapshot(world.netuid)).by_hotkey(world.hotkeys["judge"])
        await chain.close()
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(f"http://{neuron.axon}{PATH_BUNDLE}/{case.bundle.hex()}")
        bundle = SignedBundle.from_bytes(page.content)
        assert bundle.bundle.digest == case.bundle and bundle.bundle.miner == public_key(world.hotkeys["cheat"])

        async with peer(world, "liar", store) as (hotkey, publish):
            me, victim = bytes(hotkey.public_key), public_key(world.hotkeys["honest"])
            framed = sign_bundle(dataclasses.replace(bundle.bundle, miner=victim, validator=me), hotkey)
            write_bundle(store.folder / "bundles", framed)
            doubt = Entry(EntryKind.OPINION, case.opened, bundle.bundle.miner, me, case.bundle, Reason.OVERTURNED)
            frame = Entry(EntryKind.ACCUSATION, case.opened, victim, me, framed.bundle.digest, Reason.ACCUSED)
            store.update_miners((), entries=[doubt, frame])
            await publish()

            await until(lambda: Reason.SUSPENDED in decided(world, "cheat"), 90, "the doubt suspends the slash")
            await until(lambda: Reason.OVERTURNED in decided(world, "honest"), 60, "the framing bundle is refused")
            assert standing(world, "honest") is None or not standing(world, "honest").cases
            row = await world.miner_row("judge", "honest")
            assert row["standing"] == "good"

            await until(lambda: Reason.SUSPENSION_EXPIRED in decided(world, "cheat"), 60, "the suspension expires")
            assert not may_earn(standing(world, "cheat"))
            again = Entry(EntryKind.OPINION, case.opened, bundle.bundle.miner, me, case.bundle, Reason.OVERTURNED)
            store.update_miners((), entries=[dataclasses.replace(again, block=case.opened + 1)])
            await publish()
            rounds = world.settled("judge")
            await until(lambda: world.settled("judge") >= rounds + 4, 90, "the liar doubts again")
            assert not may_earn(standing(world, "cheat")), "one doubt a case, and once"
            assert decided(world, "cheat").count(Reason.SUSPENDED) == 1
    finally:
        store.close()
        world.close()
