"""Values for protocol tests: keys, valid records, and a strategy of records made from the published schema."""

import dataclasses
import functools
import hashlib
from typing import Any

import bittensor_core
from bittensor import http_auth
from hypothesis import strategies as st

from subnet.protocol import (
    CompletionRequest,
    CompletionResponse,
    SecretsCommitment,
    SecretTree,
    SignedRequest,
    SignedResponse,
    completion_path,
    encode,
    keys,
    sign_response,
)
from subnet.protocol.response import FIRST_PREVIOUS
from subnet.protocol.schema import document

VALIDATOR = bittensor_core.Keypair.create_from_uri("//Validator", 1)
MINER = bittensor_core.Keypair.create_from_uri("//Miner", 0)
STRANGER = bittensor_core.Keypair.create_from_uri("//Stranger", 1)
EPOCH = 1_790_000_000_000_000
TREE = SecretTree.derive(b"s" * 32, bytes(VALIDATOR.public_key), EPOCH, 16)

COMMITMENT = SecretsCommitment(
    version=1,
    genesis=b"g" * 32,
    netuid=3,
    miner=bytes(MINER.public_key),
    validator=bytes(VALIDATOR.public_key),
    epoch=EPOCH,
    size=TREE.size,
    root=TREE.root,
    beacon_block=99,
)

REQUEST = CompletionRequest(
    version=1,
    genesis=b"g" * 32,
    netuid=3,
    model_id=b"m" * 32,
    prompt=(5, 6, 7, 8),
    temperature_milli=700,
    min_p_ppm=0,
    max_tokens=4,
    validator=bytes(VALIDATOR.public_key),
    miner=bytes(MINER.public_key),
    beacon_block=100,
    beacon_hash=b"b" * 32,
    nonce=b"n" * 32,
    epoch=EPOCH,
    counter=2,
)


def signed_call(request: CompletionRequest, signer: Any, nonce_ns: int | None = None) -> SignedRequest:
    """The proof that a miner keeps of a call which `signer` makes with this request, by the SDK's own signing."""
    body = encode(request)
    headers = http_auth.sign(
        signer,
        method="POST",
        path=completion_path(request.digest),
        body=body,
        receiver_ss58=keys.ss58_address(request.miner),
        nonce_ns=nonce_ns,
    )
    return SignedRequest(
        request=request,
        scheme=signer.crypto_type,
        nonce=headers[http_auth.HEADER_NONCE],
        body_digest=hashlib.sha256(body).digest(),
        signature=bytes.fromhex(headers[http_auth.HEADER_SIGNATURE][2:]),
    )


def asked(**changes: Any) -> SignedRequest:
    return signed_call(dataclasses.replace(REQUEST, **changes), VALIDATOR)


def answered(request: CompletionRequest = REQUEST, **changes: Any) -> SignedResponse:
    secret, path = TREE.open(request.counter)
    body = CompletionResponse(
        version=1,
        request_digest=request.digest,
        tokens=(1, 2, 3, 4),
        text="one two",
        finish="length",
        secret=secret,
        secret_path=path,
        previous=FIRST_PREVIOUS,
    )
    return sign_response(dataclasses.replace(body, **changes), request, MINER)


ASKED = asked()


@functools.cache
def json_of(name: str) -> st.SearchStrategy[Any]:
    """JSON values that the published schema of this record allows."""
    return _values({"$ref": f"#/components/schemas/{name}"}, document()["components"]["schemas"])


def _values(schema: dict[str, Any], schemas: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    kind = schema["type"]
    if kind == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if kind == "array":
        high = min(schema["maxItems"], schema["minItems"] + 6)
        return st.lists(_values(schema["items"], schemas), min_size=schema["minItems"], max_size=high)
    if kind == "string":
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema.get("pattern", "").startswith("^[0-9a-f]{"):
            width = int(schema["pattern"].split("{")[1].split("}")[0]) // 2
            return st.binary(min_size=width, max_size=width).map(bytes.hex)
        if schema.get("pattern", "").startswith("^([0-9a-f]{2})"):
            return st.binary(max_size=40).map(bytes.hex)
        if "pattern" in schema:
            text = st.from_regex(schema["pattern"].replace("$", r"\Z"))
            return text.filter(lambda value: len(value) <= schema.get("maxLength", 10**6))
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    if "properties" in schema:
        return st.fixed_dictionaries({name: _values(s, schemas) for name, s in schema["properties"].items()})
    keys = _values({"type": "string", **schema["propertyNames"]}, schemas)
    return st.dictionaries(keys, _values(schema["additionalProperties"], schemas), max_size=4)
