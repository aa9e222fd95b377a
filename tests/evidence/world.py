"""A small world to play evidence in: one validator, one miner, a tiny model, a chain whose hashes are fixed."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bittensor_core
import torch

from subnet.engine.decode import DecodeJob
from subnet.engine.llama import LlamaModel, LlamaShape
from subnet.errors import ProtocolError
from subnet.evidence.build import KeptAnswer, make_bundle
from subnet.evidence.bundle import SignedBundle
from subnet.evidence.replay import Report, verify_bundle
from subnet.evidence.rounds import RoundCommitment, round_leaf, sign_round
from subnet.evidence.selection import CheckPlan
from subnet.models.manifest import FileRecord, Manifest, Numerics, Source, Tokenizer, Tolerance, Weights
from subnet.protocol import (
    CompletionRequest,
    CompletionResponse,
    SecretsCommitment,
    SecretTree,
    SignedCommitment,
    derive_seed,
    merkle,
    sign_commitment,
    sign_response,
)
from subnet.sampling import Sampling
from subnet.verify.profile import Alternative, ToleranceProfile
from subnet.verify.records import TokenRecords
from subnet.verify.replaying import Claim, check_claim, replayed
from subnet.verify.spread import BEGINNING, SpreadModel
from tests.zoo.engines import CHEATS, HONEST, Cheat

VOCABULARY = 256
EOS = (2, 3, 4, 5)
GENESIS = hashlib.sha256(b"tiny chain").digest()
NETUID = 7
ROUND_SIZE = 4
FIRST_BLOCK = 1000


def key(name: str) -> Any:
    """A hotkey that is the same in every run."""
    return bittensor_core.Keypair.create_from_uri(f"//{name}")


def block_hash(number: int) -> bytes | None:
    """The chain of this world; it knows no block above a million."""
    if number == 0:
        return GENESIS
    return hashlib.sha256(b"block" + number.to_bytes(8, "big")).digest() if number < 1_000_000 else None


@functools.cache
def tiny_profile(threshold: float = 1e9) -> ToleranceProfile:
    """The fp32 class in small: a competitor closer than 0.01 logit can't be told apart, any other is a miss."""
    return ToleranceProfile(
        name="tiny",
        tolerance_class="fp32",
        numerics="float32",
        threshold=threshold,
        tolerance=0.01,
        entropy_edges=(1.0,),
        distance_edges=(0.1,),
        bound=((2e-4, 1e-5), (2e-4, 1e-5)),
        far_bound=((1e-6, 1e-6), (1e-6, 1e-6)),
        scale=(0.01, 0.01),
        spread=None,
        alternatives=(
            *(Alternative("noise", strength) for strength in (3.0, 10.0, 30.0, 100.0)),
            Alternative("arbitrary", 0.01),
        ),
        reference=1,
        min_information=3.0,
        measured={},
    )


@functools.cache
def tiny_manifest(embedded_profile: bool = True) -> Manifest:
    """A manifest whose files exist nowhere: the model is made from a seed."""
    profile = tiny_profile()
    return Manifest(
        name="tiny",
        source=Source("folder", "tiny", ""),
        architecture="LlamaForCausalLM",
        files=(FileRecord("model.safetensors", 1, "00" * 32),),
        config_sha256="11" * 32,
        weights=Weights("safetensors", "22" * 32, 1, 1),
        tokenizer=Tokenizer("33" * 32, "44" * 32),
        vocab_size=VOCABULARY,
        max_positions=256,
        eos_ids=EOS,
        numerics=Numerics("float32", "float32", "float32"),
        tolerance=Tolerance("fp32", json.loads(profile.to_json()) if embedded_profile else {}),
        licence="MIT",
    )


@functools.cache
def tiny_model() -> LlamaModel:
    """A random Llama of three layers whose logits are about as sharp as a real one's."""
    shape = LlamaShape(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        layers=4,
        heads=4,
        kv_heads=2,
        head_dim=16,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        max_positions=256,
        tied_embeddings=True,
    )
    generator = torch.Generator().manual_seed(7)

    def matrix(out: int, size: int, scale: float) -> torch.Tensor:
        return torch.randn(out, size, generator=generator) * scale

    weights = {"model.embed_tokens.weight": matrix(VOCABULARY, 64, 0.4), "model.norm.weight": torch.ones(64)}
    for layer in range(shape.layers):
        p = f"model.layers.{layer}"
        weights |= {
            f"{p}.input_layernorm.weight": torch.ones(64),
            f"{p}.post_attention_layernorm.weight": torch.ones(64),
            f"{p}.self_attn.q_proj.weight": matrix(64, 64, 0.2),
            f"{p}.self_attn.k_proj.weight": matrix(32, 64, 0.2),
            f"{p}.self_attn.v_proj.weight": matrix(32, 64, 0.2),
            f"{p}.self_attn.o_proj.weight": matrix(64, 64, 0.2),
            f"{p}.mlp.gate_proj.weight": matrix(128, 64, 0.2),
            f"{p}.mlp.up_proj.weight": matrix(128, 64, 0.2),
            f"{p}.mlp.down_proj.weight": matrix(64, 128, 0.2),
        }
    return LlamaModel(shape, weights, frozenset(EOS), tiny_manifest().digest)


def load_tiny(manifest: Manifest) -> LlamaModel:
    """The loader that a verifier of this world uses."""
    return replace(tiny_model(), model_id=manifest.digest)


@dataclass(frozen=True)
class World:
    """Who takes part. `rate_ppm` is the checking rate of every answer."""

    validator: Any = field(default_factory=lambda: key("Validator"))
    miner: Any = field(default_factory=lambda: key("Miner"))
    manifest: Manifest = field(default_factory=tiny_manifest)
    profile: ToleranceProfile = field(default_factory=tiny_profile)
    rate_ppm: int = 500_000
    epoch: int = 3
    secrets: int = 64
    model: Any = field(default_factory=tiny_model)
    prompts: tuple[tuple[int, ...], ...] = ()
    text: Callable[[tuple[int, ...]], str] = str
    software: tuple[str, ...] = ("assay test",)

    @property
    def tree(self) -> SecretTree:
        return SecretTree.derive(b"m" * 32, bytes(self.validator.public_key), self.epoch, self.secrets)

    @property
    def handshake(self) -> SignedCommitment:
        commitment = SecretsCommitment(
            version=1,
            genesis=GENESIS,
            netuid=NETUID,
            miner=bytes(self.miner.public_key),
            validator=bytes(self.validator.public_key),
            epoch=self.epoch,
            size=self.secrets,
            root=self.tree.root,
            beacon_block=FIRST_BLOCK - 1,
        )
        return sign_commitment(commitment, self.miner)

    def request(self, counter: int, tokens: int = 24, **changed: Any) -> tuple[CompletionRequest, CheckPlan]:
        """Request number `counter` and the plan under which it is asked."""
        dice = random.Random(counter)
        beacon = FIRST_BLOCK + 10 * (counter // ROUND_SIZE)
        salt = hashlib.sha256(b"salt" + counter.to_bytes(4, "big")).digest()
        plan = CheckPlan(beacon + 5, changed.pop("rate_ppm", self.rate_ppm), salt)
        given: dict[str, Any] = {
            "version": 1,
            "genesis": GENESIS,
            "netuid": NETUID,
            "model_id": self.manifest.digest,
            "prompt": self.prompts[counter % len(self.prompts)]
            if self.prompts
            else tuple(dice.randrange(6, VOCABULARY) for _ in range(12)),
            "temperature_milli": 800,
            "min_p_ppm": 0,
            "max_tokens": tokens,
            "validator": bytes(self.validator.public_key),
            "miner": bytes(self.miner.public_key),
            "beacon_block": beacon,
            "beacon_hash": block_hash(beacon),
            "nonce": hashlib.sha256(b"nonce" + counter.to_bytes(4, "big")).digest(),
            "epoch": self.epoch,
            "counter": counter,
            "extensions": plan.extension(),
        }
        return CompletionRequest(**{**given, **changed}), plan

    def answers(self, cheat: Cheat = HONEST, count: int = 16, tokens: int = 24) -> list[KeptAnswer]:
        """`count` answers of a miner with this engine, in rounds, replayed where they are selected."""
        asked = [self.request(counter, tokens) for counter in range(count)]
        opened = [self.tree.open(counter) for counter in range(count)]
        jobs = [
            DecodeJob(
                request.prompt,
                derive_seed(request.digest, secret),
                Sampling(request.temperature_milli, request.min_p_ppm),
                request.max_tokens,
            )
            for (request, _), (secret, _) in zip(asked, opened, strict=True)
        ]
        previous, kept = bytes(32), []
        for (request, plan), (secret, path), made in zip(
            asked, opened, cheat.engine(self.model).decode(jobs), strict=True
        ):
            body = CompletionResponse(
                version=1,
                request_digest=request.digest,
                tokens=made.tokens,
                text=self.text(made.tokens),
                finish=made.finish,
                secret=secret,
                secret_path=path,
                previous=previous,
            )
            response = sign_response(body, request, self.miner)
            previous = response.link
            kept.append(KeptAnswer(request, response, plan))
        return self.replayed(self.placed(kept))

    def placed(self, kept: Sequence[KeptAnswer]) -> list[KeptAnswer]:
        """The answers with the rounds that fixed them."""
        found = []
        for first in range(0, len(kept), ROUND_SIZE):
            part = kept[first : first + ROUND_SIZE]
            leaves = [round_leaf(answer.response.link) for answer in part]
            commitment = RoundCommitment(
                version=1,
                genesis=GENESIS,
                netuid=NETUID,
                validator=bytes(self.validator.public_key),
                round=first // ROUND_SIZE,
                root=merkle.root(leaves),
                count=len(leaves),
                block=part[0].request.beacon_block + 2,
            )
            signed = sign_round(commitment, self.validator)
            found += [
                replace(answer, placement=(signed, index, merkle.path(leaves, index)))
                for index, answer in enumerate(part)
            ]
        return found

    def replayed(self, kept: Sequence[KeptAnswer]) -> list[KeptAnswer]:
        """The answers with the records of those that are selected and sound."""
        out = []
        model = self.model
        for answer in kept:
            request, body = answer.request, answer.response.body
            hash_ = block_hash(answer.plan.block)
            records = None
            if hash_ and answer.plan.selects(hash_, request) and request.model_id == self.manifest.digest:
                seed = derive_seed(request.digest, body.secret)
                sampling = Sampling(request.temperature_milli, request.min_p_ppm)
                claim = Claim(request.prompt, body.tokens, seed, sampling, request.max_tokens, body.finish)
                records = _records(model, claim, self.profile.spread)
            out.append(replace(answer, records=records))
        return out

    def bundle(self, kept: Sequence[KeptAnswer]) -> SignedBundle:
        """The bundle over these answers, as an honest validator makes it."""
        numbers = {answer.plan.block for answer in kept} | {a.request.beacon_block for a in kept}
        blocks = {number: found for number in numbers if (found := block_hash(number))}
        return make_bundle(kept, self.handshake, self.manifest, self.profile, blocks, self.software, self.validator)


def _records(model: LlamaModel, claim: Claim, spread: SpreadModel | None) -> TokenRecords | None:
    try:
        check_claim(claim, model.vocab_size, model.max_positions, model.eos_ids)
    except ProtocolError:
        return None
    return replayed(model, [claim], spread)[0]


@functools.cache
def caught() -> tuple[World, tuple[KeptAnswer, ...], SignedBundle]:
    """A miner with noise of its own, and the bundle that convicts it."""
    world = World()
    kept = tuple(world.answers(CHEATS["wrong_seed"]))
    return world, kept, world.bundle(kept)


def verified(signed: SignedBundle, source: Callable[[int], bytes | None] | None = block_hash) -> Report:
    """The report of a stranger with the model and the chain."""
    return verify_bundle(signed, load_tiny, source)


@functools.cache
def coarse_starts() -> tuple[tuple[int, ...], ...]:
    """How the prompts of this world begin."""
    dice = [random.Random(counter) for counter in range(512)]
    return tuple(sorted({tuple(d.randrange(6, VOCABULARY) for _ in range(BEGINNING)) for d in dice}))


def coarse_profile() -> ToleranceProfile:
    """A class in which honest machines differ: near competitors overtake often, in some contexts more, as in bf16."""
    return replace(
        tiny_profile(),
        name="coarse",
        threshold=1e4,
        distance_edges=(0.06, 0.4),
        bound=((0.4, 0.06, 1e-3),) * 2,
        far_bound=((1e-4, 1e-4, 1e-4),) * 2,
        scale=(0.1, 0.1),
        spread=SpreadModel(coarse_starts(), (-9.0, 9.0), 0.0, (0.0,) * 4, (0.03, -0.03) * 32 + (0.0,)),
    )


def coarse_manifest() -> Manifest:
    """The tiny model in the coarse class."""
    return tiny_manifest().with_profile(json.loads(coarse_profile().to_json()))


COARSE = CHEATS["int8_kv"]
"""The honest machine of the coarse class: its key/value cache rounds as that class allows."""


@functools.cache
def honest_in_coarse_class() -> tuple[World, tuple[KeptAnswer, ...]]:
    """300 genuine answers of an honest miner, all replayed: 2 % of the tokens are not the verifier's."""
    world = World(manifest=coarse_manifest(), profile=coarse_profile(), secrets=512, rate_ppm=1_000_000)
    return world, tuple(world.answers(COARSE, count=300, tokens=4))
