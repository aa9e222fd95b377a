"""Core, Metadata, AccountNonce, TransactionPayment, Aura and Swap APIs."""

from __future__ import annotations

from typing import Any

from subnet.localchain.extrinsic import fee_for
from subnet.localchain.model import RuntimeApi
from subnet.localchain.pallets import swap, system
from subnet.localchain.pallets.subtensor import storage as st

CORE = RuntimeApi("Core")
METADATA = RuntimeApi("Metadata")
NONCE = RuntimeApi("AccountNonceApi")
AURA = RuntimeApi("AuraApi")
PAYMENT = RuntimeApi("TransactionPaymentApi")
SWAP = RuntimeApi("SwapRuntimeApi")
APIS = (CORE, METADATA, NONCE, AURA, PAYMENT, SWAP)


@CORE.method("RuntimeVersion")
def version(view: Any) -> dict[str, Any]:
    return system.VERSION


@METADATA.method("OpaqueMetadata")
def metadata(view: Any) -> bytes:
    return view.chain.program.metadata.v14


@METADATA.method("Option<OpaqueMetadata>", version="u32")
def metadata_at_version(view: Any, version: int) -> bytes | None:
    return {14: view.chain.program.metadata.v14, 15: view.chain.program.metadata.v15}.get(version)


@METADATA.method("Vec<u32>")
def metadata_versions(view: Any) -> list[int]:
    return [14, 15]


@NONCE.method("u32", account="AccountId32")
def account_nonce(view: Any, account: bytes) -> int:
    return system.nonce(view.state, account)


@AURA.method("u64")
def slot_duration(view: Any) -> int:
    return round(view.chain.settings.block_time * 1000)


@PAYMENT.method("RuntimeDispatchInfo", uxt="Vec<u8>", len_="u32")
def query_info(view: Any, uxt: bytes, len_: int) -> dict[str, Any]:
    return {"weight": {"ref_time": 0, "proof_size": 0}, "class_": "Normal", "partial_fee": fee_for(len_)}


@PAYMENT.method("FeeDetails", uxt="Vec<u8>", len_="u32")
def query_fee_details(view: Any, uxt: bytes, len_: int) -> dict[str, Any]:
    base = fee_for(0)
    fee = {"base_fee": base, "len_fee": fee_for(len_) - base, "adjusted_weight_fee": 0}
    return {"inclusion_fee": fee, "tip": 0}


@PAYMENT.method("u64", length="u32")
def query_length_to_fee(view: Any, length: int) -> int:
    return fee_for(length) - fee_for(0)


@SWAP.method("u64", netuid="NetUid")
def current_alpha_price(view: Any, netuid: int) -> int:
    return swap.price(view.state, netuid)


@SWAP.method("Vec<SubnetPrice>")
def current_alpha_price_all(view: Any) -> list[dict[str, int]]:
    netuids = [netuid for (netuid,), added in st.NetworksAdded.items(view.state) if added]
    return [{"netuid": netuid, "price": swap.price(view.state, netuid)} for netuid in netuids]


@SWAP.method("SimSwapResult", netuid="NetUid", tao="TaoBalance")
def sim_swap_tao_for_alpha(view: Any, netuid: int, tao: int) -> dict[str, int]:
    quote = swap.quote(view.state, netuid, tao, buy=True)
    return {
        "tao_amount": tao, "alpha_amount": quote.received, "tao_fee": quote.fee, "alpha_fee": 0,
        "tao_slippage": 0, "alpha_slippage": quote.slippage,
    }  # fmt: skip


@SWAP.method("SimSwapResult", netuid="NetUid", alpha="AlphaBalance")
def sim_swap_alpha_for_tao(view: Any, netuid: int, alpha: int) -> dict[str, int]:
    quote = swap.quote(view.state, netuid, alpha, buy=False)
    return {
        "tao_amount": quote.received, "alpha_amount": alpha, "tao_fee": 0, "alpha_fee": quote.fee,
        "tao_slippage": quote.slippage, "alpha_slippage": 0,
    }  # fmt: skip
