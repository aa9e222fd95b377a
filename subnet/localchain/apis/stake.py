"""StakeInfoRuntimeApi, and BetaBasketRuntimeApi, which answers that there are no baskets."""

from __future__ import annotations

from typing import Any

from subnet.localchain.defaults import SWAP_FEE_RATE, U16_MAX
from subnet.localchain.model import KeyValue, RuntimeApi
from subnet.localchain.pallets.subtensor import storage as st
from subnet.localchain.pallets.subtensor.staking import locked, stake_of

STAKE = RuntimeApi("StakeInfoRuntimeApi")
BASKET = RuntimeApi("BetaBasketRuntimeApi")
APIS = (STAKE, BASKET)


def _info(state: KeyValue, hotkey: bytes, coldkey: bytes, netuid: int) -> dict[str, Any]:
    return {
        "hotkey": hotkey, "coldkey": coldkey, "netuid": netuid, "stake": stake_of(state, hotkey, coldkey, netuid),
        "locked": locked(state, hotkey, coldkey, netuid),
        "emission": st.LastHotkeyEmissionOnNetuid.get(state, hotkey, netuid), "tao_emission": 0, "drain": 0,
        "is_registered": st.Uids.has(state, netuid, hotkey),
    }  # fmt: skip


def positions(state: KeyValue, coldkey: bytes) -> list[dict[str, Any]]:
    """Every stake position of a coldkey."""
    out = []
    for hotkey in st.StakingHotkeys.get(state, coldkey):
        for (netuid,), _ in st.AlphaV2.items(state, hotkey, coldkey):
            out.append(_info(state, hotkey, coldkey, netuid))
    return out


@STAKE.method("Vec<StakeInfo>", coldkey_account="AccountId32")
def get_stake_info_for_coldkey(view: Any, coldkey_account: bytes) -> list[dict[str, Any]]:
    return positions(view.state, coldkey_account)


@STAKE.method("Vec<(AccountId32, Vec<StakeInfo>)>", coldkey_accounts="Vec<AccountId32>")
def get_stake_info_for_coldkeys(view: Any, coldkey_accounts: list[bytes]) -> list[tuple[bytes, list[dict[str, Any]]]]:
    return [(coldkey, positions(view.state, coldkey)) for coldkey in coldkey_accounts]


@STAKE.method("Option<StakeInfo>", hotkey_account="AccountId32", coldkey_account="AccountId32", netuid="NetUid")
def get_stake_info_for_hotkey_coldkey_netuid(
    view: Any, hotkey_account: bytes, coldkey_account: bytes, netuid: int
) -> dict[str, Any] | None:
    if not st.NetworksAdded.get(view.state, netuid):
        return None
    return _info(view.state, hotkey_account, coldkey_account, netuid)


_AVAILABILITY = "BTreeMap<AccountId32, BTreeMap<NetUid, StakeAvailability>>"


@STAKE.method(_AVAILABILITY, coldkeys="Vec<AccountId32>", netuids="Vec<NetUid>")
def get_stake_availability_for_coldkeys(
    view: Any, coldkeys: list[bytes], netuids: list[int]
) -> dict[bytes, dict[int, dict[str, int]]]:
    out: dict[bytes, dict[int, dict[str, int]]] = {}
    for coldkey in coldkeys:
        rows = {netuid: {"total": 0, "locked": 0, "available": 0} for netuid in netuids}
        for position in positions(view.state, coldkey):
            row = rows.get(position["netuid"])
            if row is not None:
                row["total"] += position["stake"]
                row["locked"] += position["locked"]
                row["available"] += max(0, position["stake"] - position["locked"])
        out[coldkey] = rows
    return out


_POSITION = "Option<(AccountId32, NetUid)>"


@STAKE.method(
    "u64",
    origin=_POSITION,
    origin_coldkey_account="AccountId32",
    destination=_POSITION,
    destination_coldkey_account="AccountId32",
    amount="u64",
)
def get_stake_fee(view: Any, origin: Any, coldkey: bytes, destination: Any, target: bytes, amount: int) -> int:
    return amount * SWAP_FEE_RATE // U16_MAX


@STAKE.method("Option<LockState>", coldkey="AccountId32", netuid="NetUid")
def get_coldkey_lock(view: Any, coldkey: bytes, netuid: int) -> None:
    return None


@BASKET.method("Vec<BasketPosition>", coldkey="AccountId32")
def get_root_basket_positions(view: Any, coldkey: bytes) -> list[Any]:
    return []


@BASKET.method("u64", coldkey="AccountId32")
def get_root_basket_owed(view: Any, coldkey: bytes) -> int:
    return 0
