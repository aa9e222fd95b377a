"""substrate-interface, an independent client: it speaks V14 metadata and its own codec."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

from subnet.localchain.defaults import RAO
from subnet.localchain.process import RunningChain
from tests.localchain.conftest import TEMPO


@pytest.fixture(scope="module")
def client(chain: RunningChain) -> Iterator[SubstrateInterface]:
    made = SubstrateInterface(url=chain.endpoint, ss58_format=42, type_registry={"types": {"Balance": "u64"}})
    yield made
    made.close()


def submit(client: SubstrateInterface, signer: Keypair, module: str, function: str, **params: Any) -> Any:
    call = client.compose_call(module, function, params)
    extrinsic = client.create_signed_extrinsic(call, signer, era={"period": 64})
    return client.submit_extrinsic(extrinsic, wait_for_inclusion=True)


def key(uri: str) -> Keypair:
    return Keypair.create_from_uri(uri)


def free(client: SubstrateInterface, who: Keypair) -> int:
    return int(client.query("System", "Account", [who.ss58_address]).value["data"]["free"])


def test_it_identifies_the_chain(client: SubstrateInterface) -> None:
    assert client.chain == "Assay local"
    assert client.properties["tokenSymbol"] == "TAO"
    assert client.ss58_format == 42
    assert client.get_constant("Aura", "SlotDuration").value == 250


def test_it_reads_blocks_values_and_maps(client: SubstrateInterface) -> None:
    head = client.get_chain_head()
    block = client.get_block(head)
    assert block["header"]["number"] == client.get_block_number(head)
    stamp = block["extrinsics"][0].value["call"]
    assert (stamp["call_module"], stamp["call_function"]) == ("Timestamp", "set")
    tempos = {int(k.value): int(v.value) for k, v in client.query_map("SubtensorModule", "Tempo")}
    assert tempos[0] == tempos[1] == TEMPO
    accounts = {k.value for k, _ in client.query_map("System", "Account", page_size=2)}
    assert key("//Alice").ss58_address in accounts and len(accounts) >= 6


def test_a_transfer_arrives_and_a_failed_one_names_its_error(client: SubstrateInterface) -> None:
    target = key("//substrate//transfer")
    receipt = submit(client, key("//Dave"), "Balances", "transfer_keep_alive", dest=target.ss58_address, value=3 * RAO)
    assert receipt.is_success and receipt.total_fee_amount > 0
    assert free(client, target) == 3 * RAO
    failed = submit(client, key("//Dave"), "Sudo", "set_key", new=target.ss58_address)
    assert not failed.is_success
    assert failed.error_message["name"] == "RequireSudo"


def test_sudo_sets_a_balance(client: SubstrateInterface) -> None:
    target = key("//substrate//sudo")
    inner = client.compose_call("Balances", "force_set_balance", {"who": target.ss58_address, "new_free": 11 * RAO})
    assert submit(client, key("//Alice"), "Sudo", "sudo", call=inner).is_success
    assert free(client, target) == 11 * RAO


def test_register_serve_and_set_weights(client: SubstrateInterface) -> None:
    owner, hotkey = key("//Charlie"), key("//substrate//owner-hot")
    miner = key("//substrate//miner-hot")
    added = submit(client, owner, "SubtensorModule", "register_network", hotkey=hotkey.ss58_address)
    assert added.is_success
    event = next(e.value for e in added.triggered_events if e.value["event_id"] == "NetworkAdded")
    netuid = int(event["attributes"][0])
    assert submit(client, owner, "SubtensorModule", "start_call", netuid=netuid).is_success
    registered = submit(
        client, key("//Dave"), "SubtensorModule", "burned_register", netuid=netuid, hotkey=miner.ss58_address
    )
    assert registered.is_success
    assert client.query("SubtensorModule", "Uids", [netuid, miner.ss58_address]).value == 1
    axon = {"netuid": netuid, "version": 1, "ip": 0x7F000002, "port": 9000, "ip_type": 4, "protocol": 4}
    served = submit(client, miner, "SubtensorModule", "serve_axon", **axon, placeholder1=0, placeholder2=0)
    assert served.is_success
    assert client.query("SubtensorModule", "Axons", [netuid, miner.ss58_address]).value["port"] == 9000
    weights = {"netuid": netuid, "dests": [1], "weights": [65535], "version_key": 0}
    assert submit(client, hotkey, "SubtensorModule", "set_weights", **weights).is_success
    assert client.query("SubtensorModule", "Weights", [netuid, 0]).value == [(1, 65535)]


def test_a_used_nonce_is_outdated(client: SubstrateInterface) -> None:
    call = client.compose_call("System", "remark", {"remark": "0x00"})
    assert client.get_account_nonce(key("//Dave").ss58_address) > 0
    stale = client.create_signed_extrinsic(call, key("//Dave"), nonce=0)
    with pytest.raises(SubstrateRequestException, match="outdated"):
        client.submit_extrinsic(stale)


def test_it_follows_heads(client: SubstrateInterface) -> None:
    seen: list[int] = []

    def handler(header: Any, number: int, subscription: str) -> Any:
        seen.append(header["header"]["number"])
        return "done" if len(seen) == 3 else None

    assert client.subscribe_block_headers(handler) == "done"
    assert seen == list(range(seen[0], seen[0] + 3))
