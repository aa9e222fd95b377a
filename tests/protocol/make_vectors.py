"""Makes the golden vectors of a protocol version: python -m tests.protocol.make_vectors

It writes only files that do not exist. A file that exists is history: a change of the protocol gets a new version and
a new file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import bittensor_core
import numpy as np

from subnet.protocol import (
    Capabilities,
    CompletionRequest,
    CompletionResponse,
    Fault,
    Hello,
    ModelOffer,
    Reason,
    SecretsCommitment,
    SecretTree,
    Standing,
    canonical,
    completion_path,
    derive_seed,
    keys,
    merkle,
    records,
    sign_capabilities,
    sign_commitment,
    sign_response,
    sign_standing,
)
from subnet.protocol.stream import Chunk, encode_event
from subnet.sampling import Sampling, noise_at, sample
from subnet.sampling.philox import words_at
from tests.protocol.examples import signed_call

FOLDER = Path(__file__).parents[2] / "subnet" / "protocol" / "vectors"
GENESIS = canonical.sha256(b"assay vectors: genesis")
MODEL = canonical.sha256(b"assay vectors: model")
MASTER = canonical.sha256(b"assay vectors: master")
EPOCH = 1_790_000_000_000_000
SIZE = 16
COUNTER = 5
NONCE_NS = 1_790_000_000_123_456_789


def key(name: str, scheme: int) -> tuple[bittensor_core.Keypair, dict[str, Any]]:
    secret = canonical.sha256(b"assay vectors: " + name.encode())
    pair = bittensor_core.Keypair.create_from_seed(secret, scheme)
    facts = {
        "scheme": scheme,
        "secret_seed": secret.hex(),
        "public_key": bytes(pair.public_key).hex(),
        "ss58": pair.ss58_address,
    }
    return pair, facts


def request_of(validator: bittensor_core.Keypair, miner: bittensor_core.Keypair, extensions: dict[str, bytes]) -> Any:
    return CompletionRequest(
        version=1,
        genesis=GENESIS,
        netuid=42,
        model_id=MODEL,
        prompt=(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 0, 4294967295),
        temperature_milli=800,
        min_p_ppm=50_000,
        max_tokens=10,
        validator=bytes(validator.public_key),
        miner=bytes(miner.public_key),
        beacon_block=6_500_000,
        beacon_hash=canonical.sha256(b"assay vectors: beacon"),
        nonce=canonical.sha256(b"assay vectors: nonce"),
        epoch=EPOCH,
        counter=COUNTER,
        extensions=extensions,
    )


def signed(record: Any, digest: bytes, inner: Any = None) -> dict[str, Any]:
    facts = {"json": records.encode(record).decode(), "digest": digest.hex(), "signature": record.signature.hex()}
    if inner is not None:
        facts["canonical"] = records.canonical_bytes(inner).hex()
    return facts


def call(request: CompletionRequest, signer: bittensor_core.Keypair) -> dict[str, Any]:
    """The HTTP call that asks a request, as the SDK signs it, and the proof that a miner keeps of it."""
    proof = signed_call(request, signer, NONCE_NS)
    path, body = completion_path(request.digest), records.encode(request)
    headers = {
        "X-Bittensor-Version": "1",
        "X-Bittensor-Hotkey": keys.ss58_address(request.validator),
        "X-Bittensor-Receiver": keys.ss58_address(request.miner),
        "X-Bittensor-Nonce": proof.nonce,
        "X-Bittensor-Signature": "0x" + proof.signature.hex(),
    }
    if proof.scheme == keys.ED25519:
        headers["X-Bittensor-Crypto"] = "ed25519"
    return {
        "path": path,
        "headers": headers,
        "body": body.decode(),
        "payload": proof.payload.decode(),
        "signature": proof.signature.hex(),
        "proof": records.encode(proof).decode(),
    }


def merkle_vectors() -> list[dict[str, Any]]:
    found = []
    for size in (0, 1, 2, 3, 5, 8, 13):
        leaves = [merkle.leaf_hash(index.to_bytes(4, "big")) for index in range(size)]
        paths = [[node.hex() for node in merkle.path(leaves, index)] for index in range(size)]
        found.append({"size": size, "root": merkle.root(leaves).hex(), "paths": paths})
    return found


def token_vectors() -> list[dict[str, Any]]:
    lists = [(), (0,), (7,), (4294967295,), tuple(range(64)), tuple(range(65)), (0,) * 65, tuple(range(1000, 1200))]
    return [{"tokens": list(tokens), "commitment": canonical.token_commitment(tokens).hex()} for tokens in lists]


def noise_vectors(seed: bytes) -> list[dict[str, Any]]:
    ids = [0, 1, 2, 3, 4, 5, 1_000, 49_151, 151_935, 4_294_967_295]
    found = []
    for position in (0, 1, 127, 4_294_967_295):
        tokens = np.array(ids, np.int64)
        found.append(
            {
                "seed": seed.hex(),
                "position": position,
                "tokens": ids,
                "words": [int(word) for word in words_at(seed, position, tokens)],
                "noise": [int(grid) for grid in noise_at(seed, position, tokens)],
            }
        )
    return found


def choice_vectors(seed: bytes) -> list[dict[str, Any]]:
    """Logits are multiples of 1/256, so that every language reads exactly the float32 that was used."""
    generator = np.random.default_rng(20_261_124)
    found = []
    for temperature, min_p in ((0, 0), (800, 0), (800, 50_000), (1_000, 300_000), (10_000, 0)):
        rows = np.round(generator.normal(0.0, 3.0, (12, 24)) * 256) / 256
        rows[0, :] = 1.5
        logits = rows.astype(np.float32)
        count = len(logits)
        chosen = sample(logits, [seed] * count, list(range(count)), [Sampling(temperature, min_p)] * count)
        found.append(
            {
                "seed": seed.hex(),
                "temperature_milli": temperature,
                "min_p_ppm": min_p,
                "logits": [[float(value) for value in row] for row in logits],
                "tokens": [int(token) for token in chosen],
            }
        )
    return found


def vectors() -> dict[str, Any]:
    validator, validator_facts = key("validator", keys.ED25519)
    miner, miner_facts = key("miner", keys.ED25519)
    other, other_facts = key("sr25519 validator", keys.SR25519)
    request = request_of(validator, miner, {"payment": b"\x01\x02", "client-nonce": b"", "a.b_c": bytes(range(32))})
    tree = SecretTree.derive(MASTER, request.validator, EPOCH, SIZE)
    commitment = SecretsCommitment(
        version=1,
        genesis=GENESIS,
        netuid=42,
        miner=request.miner,
        validator=request.validator,
        epoch=EPOCH,
        size=SIZE,
        root=tree.root,
        beacon_block=6_500_001,
    )
    committed = sign_commitment(commitment, miner)
    secret, path = tree.open(COUNTER)
    seed = derive_seed(request.digest, secret)
    body = CompletionResponse(
        version=1,
        request_digest=request.digest,
        tokens=(504, 3575, 282, 4649, 314, 7042, 30, 1, 2, 3),
        text='The capital of "France"\n is Pa\u00efs \U0001f5fc.',
        finish="length",
        secret=secret,
        secret_path=path,
        previous=canonical.sha256(b"assay vectors: previous"),
        extensions={"receipt": b"\xff"},
    )
    answered = sign_response(body, request, miner)
    capabilities = Capabilities(
        versions=(1, 2),
        software="assay-vectors-1.0",
        models=(ModelOffer(MODEL, "smollm2-135m-instruct", 8_192), ModelOffer(GENESIS, "another", 1)),
        max_tokens=1_024,
        concurrency=8,
        handshake=committed,
    )
    capable = sign_capabilities(capabilities, miner)
    standing = Standing(
        version=1,
        genesis=GENESIS,
        netuid=42,
        validator=request.validator,
        miner=request.miner,
        block=6_500_100,
        state="probation",
        score_ppm=912_345,
        weight_ppm=31_250,
        requests=120,
        verified=37,
        verified_tokens=4_096,
        evidence_milli=2_500,
        threshold_milli=20_723,
        reasons=(Reason("late", 3), Reason("bad_text", 1)),
    )
    stood = sign_standing(standing, validator)
    by_other = request_of(other, miner, {})
    return {
        "protocol": 1,
        "keys": {"validator": validator_facts, "miner": miner_facts, "sr25519_validator": other_facts},
        "merkle": merkle_vectors(),
        "token_commitments": token_vectors(),
        "extensions_digest": canonical.extensions_digest(request.extensions).hex(),
        "request": {
            "json": records.encode(request).decode(),
            "digest": request.digest.hex(),
            "canonical": records.canonical_bytes(request).hex(),
        },
        "call": call(request, validator),
        "call_sr25519": call(by_other, other),
        "secrets": {
            "master": MASTER.hex(),
            "validator": request.validator.hex(),
            "epoch": EPOCH,
            "secrets": [value.hex() for value in tree.secrets],
            "root": tree.root.hex(),
            "index": COUNTER,
            "path": [node.hex() for node in path],
        },
        "commitment": signed(committed, commitment.digest, commitment),
        "seed": seed.hex(),
        "noise": noise_vectors(seed),
        "choices": choice_vectors(seed),
        "response": {**signed(answered, body.digest, body), "link": answered.link.hex()},
        "capabilities": signed(capable, capabilities.digest, capabilities),
        "standing": signed(stood, standing.digest, standing),
        "hello": records.encode(Hello((1,), GENESIS, 42)).decode(),
        "fault": records.encode(Fault("overloaded", "all slots are taken", 1_000)).decode(),
        "stream": [encode_event(event).decode() for event in (Chunk((504, 3575), "The capital"), answered)],
    }


def main() -> int:
    target = FOLDER / "v1.json"
    if target.exists():
        sys.stderr.write(f"{target} exists: golden vectors are never edited\n")
        return 1
    target.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
