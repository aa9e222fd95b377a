"""The published metadata against the SDK's public descriptors: nothing that we publish differs."""

from __future__ import annotations

import inspect
from typing import Any

import bittensor as bt
import bittensor_core as core
import pytest
from bittensor._generated.errors import ERRORS

from subnet.localchain.chain import Chain
from subnet.localchain.defaults import SPEC_VERSION, TRANSACTION_VERSION, Settings
from subnet.localchain.metadata import SIGNED_EXTENSIONS
from subnet.localchain.runtime import Program


@pytest.fixture(scope="module")
def program() -> Program:
    chain = Chain(Settings())
    chain.store.close()
    return chain.program


@pytest.fixture(scope="module")
def ir(program: Program) -> dict[str, Any]:
    return core.Runtime(program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION).metadata_ir()


def test_both_versions_parse_and_say_the_same(program: Program) -> None:
    v14 = core.Runtime(program.metadata.v14, SPEC_VERSION, TRANSACTION_VERSION)
    v15 = core.Runtime(program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION)
    assert (v14.is_v15, v15.is_v15) == (False, True)
    assert v14.metadata_ir()["pallets"] == v15.metadata_ir()["pallets"]
    assert v15.signed_extension_identifiers() == [row[0] for row in SIGNED_EXTENSIONS]
    assert v15.extrinsic_version == 4


def test_every_storage_item_is_the_sdks_with_its_type(ir: dict[str, Any]) -> None:
    count = 0
    for pallet in ir["pallets"]:
        known = getattr(bt.storage, pallet["name"], None)
        for item in pallet["storage"]:
            described = getattr(known, item["name"])
            assert described.value_type_ident == item["value_type_ident"], f"{pallet['name']}.{item['name']}"
            count += 1
    assert count > 150


def test_every_call_is_the_sdks_with_its_arguments(ir: dict[str, Any]) -> None:
    count = 0
    for pallet in ir["pallets"]:
        known = getattr(bt.calls, pallet["name"], None)
        for call in pallet["calls"]:
            signature = inspect.signature(getattr(known, call["name"]))
            expected = [(name, str(p.annotation).strip("'")) for name, p in signature.parameters.items()]
            given = [(arg["name"], arg["type_ident"]) for arg in call["args"]]
            assert [name for name, _ in given] == [name for name, _ in expected], call["name"]
            for (name, ours), (_, theirs) in zip(given, expected, strict=True):
                # The SDK writes Any for what has no single name: vectors, options, compact integers.
                assert ours == theirs or (theirs == "Any" and not ours.isidentifier()), f"{call['name']}.{name}"
            count += 1
    assert count > 100


def test_every_constant_and_runtime_api_method_is_the_sdks(ir: dict[str, Any]) -> None:
    for pallet in ir["pallets"]:
        for name in pallet["constants"]:
            assert hasattr(getattr(bt.constants, pallet["name"]), name), name
    for api in ir["runtime_apis"]:
        for method in api["methods"]:
            name = method if isinstance(method, str) else method["name"]
            assert hasattr(getattr(bt.runtime_api, api["name"]), name), f"{api['name']}.{name}"


def test_the_error_enums_are_the_sdks_table(ir: dict[str, Any]) -> None:
    ours = {(p["index"], e["index"]): e["name"] for p in ir["pallets"] for e in p["errors"]}
    theirs = {key: info.name for key, info in ERRORS.items() if key[0] in {p["index"] for p in ir["pallets"]}}
    assert ours == theirs


def test_pallet_indices_are_the_chains(ir: dict[str, Any]) -> None:
    assert {p["name"]: p["index"] for p in ir["pallets"]} == {
        "System": 0, "Timestamp": 2, "Aura": 3, "Balances": 5, "TransactionPayment": 6, "SubtensorModule": 7,
        "Utility": 11, "Sudo": 12, "Commitments": 18, "AdminUtils": 19, "Drand": 26, "Swap": 28, "MevShield": 30,
    }  # fmt: skip


def test_our_codec_and_the_sdks_agree_on_every_default(program: Program) -> None:
    """Each storage default, encoded by us, decodes with the SDK's codec, and back to the same bytes."""
    runtime = core.Runtime(program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION)
    for pallet in program.pallets:
        for item in pallet.storage:
            entry = runtime.storage_entry(pallet.name, item.name)
            assert bytes(entry.default_bytes) == item.default_bytes
            if not item.optional:
                value = runtime.decode(entry.value_type, item.default_bytes)
                assert bytes(runtime.encode(entry.value_type, value)) == item.default_bytes, item.name


def test_storage_keys_are_the_sdks(program: Program) -> None:
    runtime = core.Runtime(program.metadata.v15, SPEC_VERSION, TRANSACTION_VERSION)
    values = {
        "AccountId32": (bytes(range(32)), core.ss58_encode(bytes(range(32)), 42)),
        "[u8; 32]": (bytes(32), [0] * 32),
    }
    for pallet in program.pallets:
        for item in pallet.storage:
            pairs = [values.get(type_, (5, 5)) for type_ in item.key_types]
            ours = item.key(*(own for own, _ in pairs))
            assert ours == bytes(runtime.storage_key(pallet.name, item.name, [sdk for _, sdk in pairs])), item.name
