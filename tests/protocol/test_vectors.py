"""The frozen vectors: what other implementations rely on, so a failure here means a new protocol version."""

import json
from typing import Any

import bittensor_core
import numpy as np
import pytest

from subnet.protocol import completion_path, decode, derive_seed, encode, keys, records
from subnet.protocol.faults import Fault
from subnet.protocol.handshake import Hello, SignedCapabilities, SignedCommitment
from subnet.protocol.request import CompletionRequest, SignedRequest
from subnet.protocol.response import SignedResponse, check_response
from subnet.protocol.seed import SecretTree
from subnet.protocol.standing import SignedStanding
from subnet.protocol.stream import decode_event, encode_event
from subnet.sampling import Sampling, noise_at, sample
from subnet.sampling.philox import words_at
from subnet.transport import btauth
from tests.protocol import make_vectors

VECTORS: dict[str, Any] = json.loads((make_vectors.FOLDER / "v1.json").read_text())


def test_this_build_makes_the_frozen_vectors_but_for_the_random_signature() -> None:
    made = json.loads(json.dumps(make_vectors.vectors()))
    frozen = json.loads(json.dumps(VECTORS))
    # sr25519 signatures are randomised: the frozen one is verified below instead.
    for vectors in (made, frozen):
        for changing in ("signature", "proof"):
            vectors["call_sr25519"].pop(changing)
        vectors["call_sr25519"]["headers"].pop("X-Bittensor-Signature")
    assert made == frozen


@pytest.mark.parametrize(
    ("name", "cls", "field"),
    [
        ("commitment", SignedCommitment, "commitment"),
        ("capabilities", SignedCapabilities, "capabilities"),
        ("response", SignedResponse, "body"),
        ("standing", SignedStanding, "standing"),
    ],
)
def test_frozen_messages_decode_hash_and_verify(name: str, cls: type, field: str) -> None:
    vector = VECTORS[name]
    record: Any = decode(cls, vector["json"].encode())
    inner = getattr(record, field)
    assert encode(record).decode() == vector["json"]
    assert records.canonical_bytes(inner).hex() == vector["canonical"]
    assert inner.digest.hex() == vector["digest"]
    signer = bytes.fromhex(VECTORS["keys"]["miner"]["public_key"])
    record.require_valid(*([signer] if name in ("response", "capabilities") else []))


def test_frozen_request_decodes_and_hashes() -> None:
    vector = VECTORS["request"]
    request = decode(CompletionRequest, vector["json"].encode())
    assert encode(request).decode() == vector["json"]
    assert records.canonical_bytes(request).hex() == vector["canonical"]
    assert request.digest.hex() == vector["digest"]


@pytest.mark.parametrize("name", ["call", "call_sr25519"])
def test_frozen_calls_are_admitted_and_prove_their_request(name: str) -> None:
    call = VECTORS[name]
    body, headers = call["body"].encode(), call["headers"]
    claim = btauth.gate([(key.lower().encode(), value.encode()) for key, value in headers.items()])
    receiver, then = headers["X-Bittensor-Receiver"], claim.nonce_ns + 10**9
    btauth.verify(claim, body, method="POST", path=call["path"], self_hotkey=receiver, now_ns=then)
    proof = decode(SignedRequest, call["proof"].encode())
    proof.require_valid()
    assert proof.request == decode(CompletionRequest, body) and completion_path(proof.request.digest) == call["path"]
    assert proof.payload.decode() == call["payload"] and proof.signature == claim.signature


def test_frozen_answer_opens_the_frozen_secret_and_gives_the_frozen_seed() -> None:
    asked = decode(CompletionRequest, VECTORS["request"]["json"].encode())
    answer = decode(SignedResponse, VECTORS["response"]["json"].encode())
    committed = decode(SignedCommitment, VECTORS["commitment"]["json"].encode()).commitment
    assert answer.link.hex() == VECTORS["response"]["link"]
    assert check_response(asked, answer, committed).hex() == VECTORS["seed"]
    secrets = VECTORS["secrets"]
    tree = SecretTree.derive(
        bytes.fromhex(secrets["master"]), bytes.fromhex(secrets["validator"]), secrets["epoch"], len(secrets["secrets"])
    )
    assert tree.root.hex() == secrets["root"]
    assert derive_seed(asked.digest, tree.secrets[secrets["index"]]).hex() == VECTORS["seed"]


def test_frozen_noise_and_choices() -> None:
    for vector in VECTORS["noise"]:
        seed, tokens = bytes.fromhex(vector["seed"]), np.array(vector["tokens"], np.int64)
        assert words_at(seed, vector["position"], tokens).tolist() == vector["words"]
        assert noise_at(seed, vector["position"], tokens).tolist() == vector["noise"]
    for vector in VECTORS["choices"]:
        logits = np.array(vector["logits"], np.float32)
        count = len(logits)
        sampling = Sampling(vector["temperature_milli"], vector["min_p_ppm"])
        chosen = sample(logits, [bytes.fromhex(vector["seed"])] * count, list(range(count)), [sampling] * count)
        assert chosen.tolist() == vector["tokens"]


def test_choices_of_the_vectors_are_not_all_greedy() -> None:
    greedy = [int(np.argmax(row)) for row in VECTORS["choices"][1]["logits"]]
    assert VECTORS["choices"][1]["tokens"] != greedy


def test_frozen_keys_and_plain_messages() -> None:
    for facts in VECTORS["keys"].values():
        pair = bittensor_core.Keypair.create_from_seed(bytes.fromhex(facts["secret_seed"]), facts["scheme"])
        assert bytes(pair.public_key).hex() == facts["public_key"] and pair.ss58_address == facts["ss58"]
        assert keys.public_key(facts["ss58"]).hex() == facts["public_key"]
    assert encode(decode(Hello, VECTORS["hello"].encode())).decode() == VECTORS["hello"]
    assert encode(decode(Fault, VECTORS["fault"].encode())).decode() == VECTORS["fault"]
    for line in VECTORS["stream"]:
        assert encode_event(decode_event(line.encode())).decode() == line
