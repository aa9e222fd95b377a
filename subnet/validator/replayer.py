"""The child process that holds the model: replays answers, scores texts, re-verifies bundles.

Only this process imports torch. A child that hangs or dies costs an abstention and is started anew; it never costs a
miner anything. It ends by itself when the validator's end of the pipe closes, so a killed validator leaves nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from reward import Conversation

if TYPE_CHECKING:
    from reward import RewardModel
    from subnet.engine.causal import CausalModel
    from subnet.models import Manifest
    from subnet.models.chat import ChatTokenizer


Terms = tuple[tuple[str, float, str], ...]
"""The components of a reward: name, value in [0, 1], reason."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the child loads. `reward` is a specification of `reward.loading`; `threads` 0 means all cores."""

    model: str
    dtype: str | None
    threads: int
    reward: str


@dataclass(frozen=True, slots=True)
class Examinee:
    """An answer to examine. `seed` is of its sampling; `replay` says whether it was selected."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    seed: bytes
    temperature_milli: int
    min_p_ppm: int
    max_tokens: int
    finish: str
    text: str
    conversation: Conversation
    replay: bool
    score: bool = True
    partial: bool = False
    """Only the beginning of an answer, without its text: it is replayed and not scored."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What the examination found.

    `fault` is "length" or "text" and a sentence, where no run of the model can give this answer. `records` are the
    encoded token records of a replay, `quality` the reward in [0, 1], `terms` its components for people. `failure` is
    our own: an abstention.
    """

    fault: tuple[str, str] | None = None
    records: bytes | None = None
    quality: float | None = None
    terms: Terms = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """What was loaded."""

    model_id: bytes
    reward_identity: str
    software: tuple[str, ...]
    seconds: float
    trouble: str = ""
    """Why this process may judge nobody: its own replay of known answers is outside the class."""


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Our own replay of somebody's bundle. `result` as in `subnet.evidence.replay.Result`."""

    result: str
    verdict: str | None
    tokens: int
    findings: tuple[str, ...]


def serve(pipe: Connection, setup: Setup) -> None:
    """The child's life: load, then answer (operation, argument) with ("ok", value) or ("failed", text)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(5)
    try:
        worker = _Worker(setup)
        pipe.send(("ok", worker.ready))
        while True:
            operation, argument = pipe.recv()
            pipe.send(worker.answer(operation, argument))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        raise


class _Worker:
    def __init__(self, setup: Setup) -> None:
        import torch

        from reward.loading import load_reward
        from subnet.models import load_model, load_tokenizer
        from subnet.models.registry import find_model
        from subnet.validator.profiles import profile_of

        began = time.monotonic()
        self._model: CausalModel = load_model(setup.model, setup.dtype, threads=setup.threads or None)
        self._tokenizer: ChatTokenizer = load_tokenizer(setup.model)
        self._reward: RewardModel = load_reward(setup.reward, self._model, self._tokenizer)
        software = ("assay", f"torch {torch.__version__}")
        manifest = find_model(setup.model).manifest
        self._profile = profile_of(manifest)
        self._trouble = self._test(manifest)
        self.ready = Ready(
            self._model.model_id, self._reward.identity, software, time.monotonic() - began, self._trouble
        )

    def _test(self, manifest: Manifest) -> str:
        """What is wrong with our own replay; nothing where it gives known answers back."""
        from subnet.errors import AssayError
        from subnet.verify.known import test_replay

        try:
            report = test_replay(self._model, self._tokenizer, manifest, self._profile)
        except (AssayError, RuntimeError, MemoryError) as error:
            return f"known answers could not be replayed: {type(error).__name__}: {error}"
        return report.reason

    def answer(self, operation: str, argument: Any) -> tuple[str, Any]:
        """One operation. A failure of ours is an answer too: the validator abstains."""
        try:
            if operation == "examine":
                return "ok", self.examine(argument)
            if operation == "score":
                return "ok", self.score(argument)
            if operation == "bundle":
                return "ok", self.second_opinion(*argument)
            return "failed", f"there is no operation {operation}"
        except Exception as error:  # the task boundary of the child: whatever broke is ours, and is told
            return "failed", f"{type(error).__name__}: {error}"

    def examine(self, examinees: Sequence[Examinee]) -> list[Examined]:
        """Examines answers in one batch: shape and text of all, replay of the selected."""
        found = [self._fault(item) for item in examinees]
        records = self._replay([item for item, f in zip(examinees, found, strict=True) if f is None and item.replay])
        out = []
        for item, fault in zip(examinees, found, strict=True):
            if fault is not None:
                out.append(Examined(fault=fault))
                continue
            rows, failure = next(records) if item.replay else (None, None)
            out.append(Examined(records=rows, failure=failure))
        return out

    def _fault(self, item: Examinee) -> tuple[str, str] | None:
        from subnet.errors import ProtocolError
        from subnet.verify.replaying import check_claim

        try:
            check_claim(self._claim(item), self._model.vocab_size, self._model.max_positions, self._model.eos_ids)
        except ProtocolError as error:
            return "length", str(error)
        if not item.partial and self._tokenizer.decode(item.tokens) != item.text:
            return "text", "the text is not the decoding of the tokens"
        return None

    def _replay(self, items: Sequence[Examinee]):
        from subnet.errors import AssayError
        from subnet.verify.replaying import replayed

        if not items:
            return iter(())
        if self._trouble:
            return iter([(None, f"our replay is outside its class: {self._trouble}")] * len(items))
        try:
            found = replayed(self._model, [self._claim(item) for item in items], self._profile.spread)
            return iter([(records.encode(), None) for records in found])
        except (AssayError, RuntimeError, MemoryError) as error:
            return iter([(None, f"replay: {type(error).__name__}: {error}")] * len(items))

    def _claim(self, item: Examinee):
        from subnet.sampling import Sampling
        from subnet.verify.replaying import Claim

        finish, limit = item.finish, item.max_tokens
        if item.partial:  # it ends where it was cut, at the latest where it had to
            ended = bool(item.tokens) and item.tokens[-1] in self._model.eos_ids
            finish, limit = ("eos", limit) if ended else ("length", min(limit, len(item.tokens)))
        return Claim(
            item.prompt, item.tokens, item.seed, Sampling(item.temperature_milli, item.min_p_ppm), limit, finish
        )

    def score(self, items: Sequence[tuple[Conversation, str]]) -> list[tuple[float, Terms]]:
        """Rewards of a round's answers, together: a prompt is read once for all of its completions."""
        scores = self._reward.score([conversation for conversation, _ in items], [text for _, text in items])
        return [(s.value, tuple((c.name, c.value, c.reason) for c in s.components)) for s in scores]

    def second_opinion(self, bundle: bytes, blocks: Mapping[int, bytes]) -> SecondOpinion:
        """Re-verifies a bundle against the block hashes of our own chain."""
        from subnet.errors import ModelError
        from subnet.evidence.bundle import SignedBundle
        from subnet.evidence.replay import verify_bundle

        if self._trouble:
            raise ModelError(f"our replay is outside its class: {self._trouble}")

        def model_of(manifest: Any) -> CausalModel:
            if manifest.digest != self._model.model_id:
                raise ModelError("this validator does not hold the bundle's model")
            return self._model

        report = verify_bundle(SignedBundle.from_bytes(bundle), model_of, blocks.get)
        findings = tuple(f"{f.check}: {f.detail}" for f in report.findings if f.holds is not True)
        return SecondOpinion(report.result.value, report.verdict, report.tokens, findings)
