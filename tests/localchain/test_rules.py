"""The rules of the pallets, block by block, through the SDK's codec and without sockets."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from subnet.localchain.defaults import RAO
from subnet.localchain.pallets.subtensor.weights import commit_hash
from tests.localchain.conftest import Bench, keypair, public, quick


def hot(uri: str) -> str:
    return keypair(uri).ss58_address


def test_transfer_moves_the_amount_and_the_fee_is_burnt(bench: Bench) -> None:
    issuance = bench.read("Balances", "TotalIssuance")
    done = bench.send("//Alice", "Balances", "transfer_keep_alive", dest=hot("//Bob"), value=5 * RAO)
    fee = done.event("TransactionFeePaid")["actual_fee"]
    assert done.ok and fee > 0
    assert bench.read("System", "Account", public("//Bob"))["data"]["free"] == 1_000_005 * RAO
    assert bench.read("System", "Account", public("//Alice"))["data"]["free"] == 999_995 * RAO - fee
    assert bench.read("Balances", "TotalIssuance") == issuance - fee


@pytest.mark.parametrize(
    ("name", "params", "error"),
    [
        ("transfer_keep_alive", {"value": 2_000_000 * RAO}, "Token.FundsUnavailable"),
        ("transfer_allow_death", {"value": 1}, "Token.BelowMinimum"),
        ("transfer_keep_alive", {"value": 1_999_999_999_000_000}, None),
    ],
)
def test_a_failed_transfer_keeps_the_fee_and_nothing_else(
    bench: Bench, name: str, params: dict[str, int], error: str | None
) -> None:
    before = bench.read("System", "Account", public("//Dave"))["data"]["free"]
    done = bench.send("//Dave", "Balances", name, dest=hot("//nobody"), **params)
    if error is None:
        assert done.error in ("Token.NotExpendable", "Token.FundsUnavailable")
    else:
        assert done.error == error
    account = bench.read("System", "Account", public("//Dave"))
    assert account["nonce"] == 1
    assert account["data"]["free"] == before - done.event("TransactionFeePaid")["actual_fee"]
    assert bench.read("System", "Account", public("//nobody"))["data"]["free"] == 0


def test_transfer_all_reaps_the_account(bench: Bench) -> None:
    done = bench.send("//Ferdie", "Balances", "transfer_all", dest=hot("//Bob"), keep_alive=False)
    assert done.ok and done.event("KilledAccount")["account"] == hot("//Ferdie")


def test_only_alice_is_sudo(bench: Bench) -> None:
    call = bench.call("Balances", "force_set_balance", who=hot("//Eve"), new_free=7 * RAO)
    assert bench.send("//Bob", "Sudo", "sudo", call=call).error == "RequireSudo"
    assert bench.send("//Alice", "Sudo", "sudo", call=call).ok
    assert bench.read("System", "Account", public("//Eve"))["data"]["free"] == 7 * RAO


def test_a_signed_timestamp_is_refused(bench: Bench) -> None:
    assert bench.send("//Alice", "Timestamp", "set", now=1).error == "BadOrigin"


def test_batch_stops_batch_all_undoes_force_batch_goes_on(bench: Bench) -> None:
    good = bench.call("Balances", "transfer_keep_alive", dest=hot("//nobody"), value=RAO)
    bad = bench.call("Balances", "transfer_keep_alive", dest=hot("//nobody"), value=10**18)

    def received() -> int:
        return int(bench.read("System", "Account", public("//nobody"))["data"]["free"])

    assert bench.send("//Alice", "Utility", "batch", calls=[good, bad, good]).event("BatchInterrupted")["index"] == 1
    assert received() == RAO
    assert bench.send("//Alice", "Utility", "batch_all", calls=[good, bad]).error == "Token.FundsUnavailable"
    assert received() == RAO
    assert bench.send("//Alice", "Utility", "force_batch", calls=[good, bad, good]).ok
    assert received() == 3 * RAO


def test_calls_nested_beyond_the_limit_fail_cleanly(bench: Bench) -> None:
    call = bench.call("System", "remark", remark=b"x")
    for _ in range(30):
        call = bench.call("Utility", "batch_all", calls=[call])
    done = bench.include(bench.sign(keypair("//Alice"), call))
    assert done.error == "Exhausted"


def test_a_new_subnet_has_its_pool_its_owner_and_its_price(bench: Bench) -> None:
    netuid = bench.subnet(started=False)
    assert netuid == 2
    assert bench.read("SubtensorModule", "SubnetOwner", netuid) == hot("//Alice")
    assert bench.read("SubtensorModule", "SubnetTAO", netuid) == 1_000 * RAO
    assert bench.api("SwapRuntimeApi.current_alpha_price", netuid) == RAO
    assert bench.api("SubnetRegistrationRuntimeApi.get_network_registration_cost") > 1_900 * RAO
    assert bench.send("//Bob", "SubtensorModule", "start_call", netuid=netuid).error == "NotSubnetOwner"
    stake = {"hotkey": hot("//Alice//hot"), "netuid": netuid, "amount_staked": RAO}
    assert bench.send("//Alice", "SubtensorModule", "add_stake", **stake).error == "SubtokenDisabled"
    assert bench.send("//Alice", "SubtensorModule", "start_call", netuid=netuid).ok
    again = bench.send("//Alice", "SubtensorModule", "start_call", netuid=netuid)
    assert again.error == "FirstEmissionBlockNumberAlreadySet"


def test_registration_rules(bench: Bench) -> None:
    netuid = bench.subnet()
    before = bench.read("System", "Account", public("//Bob"))["data"]["free"]
    assert bench.register(netuid, "//Bob", "//Bob//hot") == 1
    assert bench.read("System", "Account", public("//Bob"))["data"]["free"] < before - RAO // 10
    call = {"netuid": netuid, "hotkey": hot("//Bob//hot")}
    assert bench.send("//Bob", "SubtensorModule", "burned_register", **call).error == "HotKeyAlreadyRegisteredInSubNet"
    other = {"netuid": netuid + 7, "hotkey": hot("//Bob//hot")}
    assert bench.send("//Bob", "SubtensorModule", "burned_register", **other).error == "SubnetNotExists"
    root = {"netuid": 0, "hotkey": hot("//Bob//hot")}
    done = bench.send("//Bob", "SubtensorModule", "burned_register", **root)
    assert done.error == "RegistrationNotPermittedOnRootSubnet"
    stolen = bench.subnet("//Charlie", "//Charlie//hot")
    theft = {"netuid": stolen, "hotkey": hot("//Bob//hot")}
    assert bench.send("//Dave", "SubtensorModule", "burned_register", **theft).error == "NonAssociatedColdKey"


def test_a_full_subnet_evicts_the_lowest_emission_but_no_immune_neuron() -> None:
    bench = Bench(quick(max_allowed_uids=3, immunity_period=10))
    netuid = bench.subnet()
    bench.register(netuid, "//Bob", "//m1")
    bench.register(netuid, "//Bob", "//m2")
    full = {"netuid": netuid, "hotkey": hot("//m3")}
    assert bench.send("//Bob", "SubtensorModule", "burned_register", **full).error == "NoNeuronIdAvailable"
    bench.blocks(12)
    assert bench.register(netuid, "//Bob", "//m3") == 1
    assert bench.read("SubtensorModule", "Uids", netuid, public("//m1")) is None
    assert bench.read("SubtensorModule", "Keys", netuid, 1) == hot("//m3")
    assert bench.read("SubtensorModule", "Uids", netuid, public("//Alice//hot")) == 0
    bench.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({}, None),
        ({"ip_type": 5}, "InvalidIpType"),
        ({"ip": 0}, "InvalidIpAddress"),
        ({"ip": 1 << 40}, "InvalidIpAddress"),
        ({"port": 0}, "InvalidPort"),
        ({"netuid": 1}, "HotKeyNotRegisteredInNetwork"),
    ],
)
def test_serve_axon_rules(bench: Bench, change: dict[str, int], error: str | None) -> None:
    netuid = bench.subnet()
    bench.register(netuid, "//Bob", "//Bob//hot")
    axon = {"netuid": netuid, "version": 1, "ip": 0x7F000001, "port": 8091, "ip_type": 4, "protocol": 4}
    axon |= {"placeholder1": 0, "placeholder2": 0, **change}
    paid_before = bench.read("System", "Account", public("//Bob"))["data"]["free"]
    done = bench.send("//Bob//hot", "SubtensorModule", "serve_axon", **axon)
    assert done.error == error
    # The hotkey has no TAO: its coldkey pays.
    assert bench.read("System", "Account", public("//Bob"))["data"]["free"] < paid_before
    if error is None:
        assert bench.read("SubtensorModule", "Axons", netuid, public("//Bob//hot"))["port"] == 8091


def test_stake_goes_through_the_pool_and_back(bench: Bench) -> None:
    netuid = bench.subnet()
    position = (public("//Alice//hot"), public("//Bob"), netuid)
    call = {"hotkey": hot("//Alice//hot"), "netuid": netuid}
    quote = bench.api("SwapRuntimeApi.sim_swap_tao_for_alpha", netuid, 10 * RAO)
    assert bench.send("//Bob", "SubtensorModule", "add_stake", **call, amount_staked=10 * RAO).ok
    held = bench.api("StakeInfoRuntimeApi.get_stake_info_for_hotkey_coldkey_netuid", *position)["stake"]
    # The block between the quote and the trade puts emission into the pool, at the same price.
    assert held == pytest.approx(quote["alpha_amount"], rel=1e-3)
    assert bench.api("SwapRuntimeApi.current_alpha_price", netuid) > RAO
    over = bench.send("//Bob", "SubtensorModule", "remove_stake", **call, amount_unstaked=held * 2)
    assert over.error == "NotEnoughStakeToWithdraw"
    before = bench.read("System", "Account", public("//Bob"))["data"]["free"]
    assert bench.send("//Bob", "SubtensorModule", "remove_stake", **call, amount_unstaked=held).ok
    after = bench.read("System", "Account", public("//Bob"))["data"]["free"]
    assert 9.9 * RAO < after - before < 10 * RAO
    assert bench.read("SubtensorModule", "AlphaV2", *position)["mantissa"] >= 0


def test_a_price_limit_refuses_or_takes_a_part(bench: Bench) -> None:
    netuid = bench.subnet()
    call = {
        "hotkey": hot("//Alice//hot"),
        "netuid": netuid,
        "amount_staked": 500 * RAO,
        "limit_price": RAO * 105 // 100,
    }
    refused = bench.send("//Bob", "SubtensorModule", "add_stake_limit", **call, allow_partial=False)
    assert refused.error == "SlippageTooHigh"
    assert bench.send("//Bob", "SubtensorModule", "add_stake_limit", **call, allow_partial=True).ok
    assert bench.api("SwapRuntimeApi.current_alpha_price", netuid) == pytest.approx(1.05 * RAO, rel=1e-3)


def staked_subnet(bench: Bench, stake: int = 20 * RAO) -> int:
    """A started subnet of Alice's: a permitted validator (//Bob//hot, uid 1), a miner (//Charlie//hot, uid 2)."""
    netuid = bench.subnet()
    bench.register(netuid, "//Bob", "//Bob//hot")
    bench.register(netuid, "//Charlie", "//Charlie//hot")
    call = {"hotkey": hot("//Bob//hot"), "netuid": netuid, "amount_staked": stake}
    assert bench.send("//Bob", "SubtensorModule", "add_stake", **call).ok
    bench.blocks(25)
    assert bench.read("SubtensorModule", "ValidatorPermit", netuid)[1]
    return netuid


@pytest.mark.parametrize(
    ("change", "signer", "error"),
    [
        ({}, "//Bob//hot", None),
        ({"dests": [2, 1, 9]}, "//Bob//hot", "WeightVecNotEqualSize"),
        ({"dests": [2, 2]}, "//Bob//hot", "DuplicateUids"),
        ({"dests": [2, 77]}, "//Bob//hot", "UidVecContainInvalidOne"),
        ({}, "//Charlie//hot", "NeuronNoValidatorPermit"),
        ({}, "//Eve", "HotKeyNotRegisteredInSubNet"),
        ({"netuid": 99}, "//Bob//hot", "MechanismDoesNotExist"),
        ({"mecid": 1}, "//Bob//hot", "MechanismDoesNotExist"),
    ],
)
def test_set_weights_rules(bench: Bench, change: dict[str, object], signer: str, error: str | None) -> None:
    netuid = staked_subnet(bench)
    call = {"netuid": netuid, "mecid": 0, "dests": [2, 0], "weights": [3, 1], "version_key": 0, **change}
    assert bench.send(signer, "SubtensorModule", "set_mechanism_weights", **call).error == error
    if error is None:
        assert [tuple(p) for p in bench.read("SubtensorModule", "Weights", netuid, 1)] == [(2, 65535), (0, 21845)]


def test_the_weight_rate_limit_and_the_version_key_hold(bench: Bench) -> None:
    netuid = staked_subnet(bench)
    call = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 3}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).error == "SettingWeightsTooFast"
    bench.blocks(6)
    version = {"netuid": netuid, "weights_version_key": 4}
    assert bench.send("//Alice", "AdminUtils", "sudo_set_weights_version_key", **version).ok
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).error == "IncorrectWeightVersionKey"


def test_epochs_pay_the_miner_with_weight_and_not_the_one_without(bench: Bench) -> None:
    netuid = staked_subnet(bench)
    idle = bench.register(netuid, "//Dave", "//Dave//hot")
    call = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok
    stakes = [
        bench.read("SubtensorModule", "TotalHotkeyAlpha", public(f"//{n}//hot"), netuid) for n in ("Bob", "Charlie")
    ]
    bench.blocks(45)
    graph = bench.api("SubnetInfoRuntimeApi.get_metagraph", netuid)
    assert graph["incentives"][2] == 65535 and graph["emission"][2] > 0
    assert graph["incentives"][idle] == 0 and graph["emission"][idle] == 0
    assert bench.read("SubtensorModule", "TotalHotkeyAlpha", public("//Dave//hot"), netuid) == 0
    grown = [
        bench.read("SubtensorModule", "TotalHotkeyAlpha", public(f"//{n}//hot"), netuid) for n in ("Bob", "Charlie")
    ]
    assert grown[0] > stakes[0] and grown[1] > stakes[1]
    assert graph["dividends"][1] > 0


def test_dividends_reach_nominators_in_proportion(bench: Bench) -> None:
    netuid = staked_subnet(bench)
    nominate = {"hotkey": hot("//Bob//hot"), "netuid": netuid, "amount_staked": 10 * RAO}
    assert bench.send("//Eve", "SubtensorModule", "add_stake", **nominate).ok
    call = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok

    def stakes() -> tuple[int, int]:
        read = "StakeInfoRuntimeApi.get_stake_info_for_hotkey_coldkey_netuid"
        held = [bench.api(read, public("//Bob//hot"), public(who), netuid)["stake"] for who in ("//Bob", "//Eve")]
        return held[0], held[1]

    bob, eve = stakes()
    bench.blocks(45)
    bob_after, eve_after = stakes()
    assert eve_after > eve
    # The validator's take comes on top of its own share.
    assert (bob_after - bob) / bob > (eve_after - eve) / eve


def test_no_alpha_comes_from_nowhere(bench: Bench) -> None:
    """Stake grows by what was emitted at most: the attack is a payout that mints."""
    netuid = staked_subnet(bench)
    call = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok
    staked, out = (bench.read("SubtensorModule", item, netuid) for item in ("TotalAlphaStaked", "SubnetAlphaOut"))
    bench.blocks(100)
    staked_after, out_after = (
        bench.read("SubtensorModule", item, netuid) for item in ("TotalAlphaStaked", "SubnetAlphaOut")
    )
    assert 0 < staked_after - staked <= out_after - out + 20 * RAO
    total = sum(
        bench.read("SubtensorModule", "TotalHotkeyAlpha", public(f"//{n}//hot"), netuid)
        for n in ("Alice", "Bob", "Charlie")
    )
    assert total == staked_after


def test_the_owner_s_own_miners_earn_no_incentive(bench: Bench) -> None:
    """The attack: an owner who mines on his own subnet and votes for himself."""
    netuid = staked_subnet(bench)
    own = bench.register(netuid, "//Alice", "//Alice//miner")
    call = {"netuid": netuid, "dests": [own], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok
    bench.blocks(45)
    assert bench.read("SubtensorModule", "TotalHotkeyAlpha", public("//Alice//miner"), netuid) == 0


def test_hash_commit_and_reveal(bench: Bench) -> None:
    netuid = staked_subnet(bench)
    assert bench.send("//Alice", "AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=netuid, enabled=True).ok
    plain = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **plain).error == "CommitRevealEnabled"
    weights = {"uids": [2], "values": [65535], "salt": [7, 8, 9], "version_key": 0}
    digest = commit_hash(public("//Bob//hot"), netuid, [2], [65535], [7, 8, 9], 0)
    assert (
        digest
        == blake2b(
            public("//Bob//hot")
            + netuid.to_bytes(2, "little")
            + b"\x04\x02\x00\x04\xff\xff\x0c\x07\x00\x08\x00\x09\x00"
            + bytes(8),
            digest_size=32,
        ).digest()
    )
    commit = {"netuid": netuid, "commit_hash": "0x" + digest.hex()}
    assert bench.send("//Bob//hot", "SubtensorModule", "commit_weights", **commit).ok
    early = bench.send("//Bob//hot", "SubtensorModule", "reveal_weights", netuid=netuid, **weights)
    assert early.error == "RevealTooEarly"
    bench.blocks(21)
    wrong = {**weights, "salt": [7, 8, 8]}
    changed = bench.send("//Bob//hot", "SubtensorModule", "reveal_weights", netuid=netuid, **wrong)
    assert changed.error == "InvalidRevealCommitHashNotMatch"
    assert bench.send("//Bob//hot", "SubtensorModule", "reveal_weights", netuid=netuid, **weights).ok
    assert [tuple(p) for p in bench.read("SubtensorModule", "Weights", netuid, 1)] == [(2, 65535)]
    again = bench.send("//Bob//hot", "SubtensorModule", "reveal_weights", netuid=netuid, **weights)
    assert again.error == "NoWeightsCommitFound"


def test_a_hash_commit_expires(bench: Bench) -> None:
    netuid = staked_subnet(bench)
    bench.send("//Alice", "AdminUtils", "sudo_set_commit_reveal_weights_enabled", netuid=netuid, enabled=True)
    digest = commit_hash(public("//Bob//hot"), netuid, [2], [1], [1], 0)
    commit = {"netuid": netuid, "commit_hash": "0x" + digest.hex()}
    assert bench.send("//Bob//hot", "SubtensorModule", "commit_weights", **commit).ok
    bench.blocks(45)
    weights = {"uids": [2], "values": [1], "salt": [1], "version_key": 0}
    late = bench.send("//Bob//hot", "SubtensorModule", "reveal_weights", netuid=netuid, **weights)
    assert late.error == "ExpiredWeightCommit"


def test_collateral_locks_at_registration_drains_by_work_and_keeps_its_floor() -> None:
    bench = Bench(quick(collateral_lock_share=32_768, burn=10 * RAO, min_burn=10 * RAO))
    netuid = staked_subnet(bench)
    key = (netuid, public("//Charlie//hot"), public("//Charlie"))
    locked = bench.read("SubtensorModule", "MinerCollateral", *key)["locked"]
    # Half of the price bought it; the epoch since then has paid by stake and drained a little.
    assert 4 * RAO < locked < 5.1 * RAO
    take = {"hotkey": hot("//Charlie//hot"), "netuid": netuid, "amount_unstaked": locked}
    assert bench.send("//Charlie", "SubtensorModule", "remove_stake", **take).error == "StakeUnavailable"
    more = {"netuid": netuid, "hotkey": hot("//Charlie//hot"), "alpha": RAO, "limit_price": 2 * RAO}
    assert bench.send("//Charlie", "SubtensorModule", "add_collateral", **more).ok
    assert bench.read("SubtensorModule", "MinerCollateral", *key)["locked"] == locked + RAO
    floor = {"netuid": netuid, "hotkey": hot("//Charlie//hot"), "min_locked": 3 * RAO}
    assert bench.send("//Charlie", "SubtensorModule", "set_min_collateral", **floor).ok
    call = {"netuid": netuid, "dests": [2], "weights": [1], "version_key": 0}
    assert bench.send("//Bob//hot", "SubtensorModule", "set_weights", **call).ok
    bench.blocks(60)
    after = bench.read("SubtensorModule", "MinerCollateral", *key)
    assert after["locked"] == 3 * RAO and after["earned"] > 0
    stranger = bench.send("//Dave", "SubtensorModule", "add_collateral", **more)
    assert stranger.error == "NonAssociatedColdKey"
    bench.close()


def test_hyperparameters_obey_owner_root_and_bounds(bench: Bench) -> None:
    netuid = bench.subnet()
    kappa = {"netuid": netuid, "kappa": 40_000}
    assert bench.send("//Alice", "AdminUtils", "sudo_set_kappa", **kappa).error == "BadOrigin"
    assert bench.sudo("AdminUtils", "sudo_set_kappa", **kappa).ok
    assert bench.read("SubtensorModule", "Kappa", netuid) == 40_000
    period = {"netuid": netuid, "immunity_period": 9}
    assert bench.send("//Bob", "AdminUtils", "sudo_set_immunity_period", **period).error == "NotSubnetOwner"
    assert bench.send("//Alice", "AdminUtils", "sudo_set_immunity_period", **period).ok
    missing = bench.sudo("AdminUtils", "sudo_set_kappa", netuid=50, kappa=1)
    assert missing.error == "SubnetDoesNotExist"
    share = {"netuid": netuid, "lock_share": 65_535}
    assert bench.send("//Alice", "AdminUtils", "sudo_set_collateral_lock_share", **share).error == "InvalidValue"
    listed = {e["name"]: e["value"] for e in bench.api("SubnetInfoRuntimeApi.get_subnet_hyperparams_v3", netuid)}
    assert listed["kappa"] == {"U16": 40_000} and listed["immunity_period"] == {"U16": 9}


def test_tempo_moves_the_next_epoch_and_a_triggered_one_comes_at_once(bench: Bench) -> None:
    netuid = bench.subnet()
    assert bench.sudo("AdminUtils", "sudo_set_tempo", netuid=netuid, tempo=100).ok
    due = bench.api("SubnetInfoRuntimeApi.get_next_epoch_start_block", netuid)
    assert due == bench.chain.head.number + 100
    index = bench.read("SubtensorModule", "SubnetEpochIndex", netuid)
    assert bench.send("//Alice", "SubtensorModule", "trigger_epoch", netuid=netuid).ok
    bench.blocks(2)
    assert bench.read("SubtensorModule", "SubnetEpochIndex", netuid) == index + 1
    assert bench.api("SubnetInfoRuntimeApi.get_next_epoch_start_block", netuid) > due


def test_commitments_are_for_members_and_bounded(bench: Bench) -> None:
    netuid = bench.subnet()
    info = {"fields": [{"Raw5": "0x" + b"hello".hex()}]}
    outsider = bench.send("//Bob", "Commitments", "set_commitment", netuid=netuid, info=info)
    assert outsider.error == "AccountNotAllowedCommit"
    bench.register(netuid, "//Bob", "//Bob//hot")
    assert bench.send("//Bob//hot", "Commitments", "set_commitment", netuid=netuid, info=info).ok
    stored = bench.read("Commitments", "CommitmentOf", netuid, public("//Bob//hot"))
    assert stored["info"]["fields"] == [{"Raw5": "0x" + b"hello".hex()}]
    many = {"fields": [{"Raw1": "0x00"}] * 4}
    error = bench.send("//Bob//hot", "Commitments", "set_commitment", netuid=netuid, info=many).error
    assert error == "TooManyFieldsInCommitmentInfo"
    errors = {
        bench.send(
            "//Bob//hot",
            "Commitments",
            "set_commitment",
            netuid=netuid,
            info={"fields": [{"Raw128": "0x" + "00" * 128}]},
        ).error
        for _ in range(3)
    }
    assert errors == {None}
