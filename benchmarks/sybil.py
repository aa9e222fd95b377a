"""What one machine earns behind one hotkey, and behind several.

    python benchmarks/sybil.py            (about five minutes; takes both cores)
    python benchmarks/sybil.py --quick

Two machines of equal capacity, each a process on a core of its own with one engine: the first behind k hotkeys, the
other behind one. Real axons, the validator's own asker and dendrite, real scores and weights; all requests of a round
start together. Quality is held at one value, since it is the same model. Writes benchmarks/results/sybil.{json,md}.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bittensor.sp_core import Keypair  # noqa: E402

from reward import Conversation, ScoreBook, ScoringRules, WeightRules, update, weights  # noqa: E402
from subnet.chain.values import Endpoint, Head, Neuron  # noqa: E402
from subnet.config.tree import MinerConfig, MinerRole  # noqa: E402
from subnet.evidence.selection import CheckPlan  # noqa: E402
from subnet.evidence.slashing import Policy  # noqa: E402
from subnet.miner.answers import AnswerStore  # noqa: E402
from subnet.miner.app import METRICS  # noqa: E402
from subnet.miner.beacons import Beacons  # noqa: E402
from subnet.miner.epochs import EpochBook  # noqa: E402
from subnet.miner.service import MinerService, Terms  # noqa: E402
from subnet.models import DEFAULT_MODEL, find_model, load_tokenizer  # noqa: E402
from subnet.protocol import ModelOffer, public_key  # noqa: E402
from subnet.telemetry.prometheus import Registry  # noqa: E402
from subnet.transport.axon import Axon, Identity  # noqa: E402
from subnet.transport.dendrite import Dendrite  # noqa: E402
from subnet.transport.nonces import SharedNonceStore  # noqa: E402
from subnet.transport.server import AxonServer, listen  # noqa: E402
from subnet.validator.asking import Asker  # noqa: E402
from subnet.validator.judge import Bench, Case, judge  # noqa: E402
from subnet.validator.profiles import profile_of  # noqa: E402
from subnet.validator.questions import Network, Question, addressed  # noqa: E402
from subnet.validator.replayer import Examined  # noqa: E402
from subnet.validator.state import Store  # noqa: E402
from subnet.validator.values import MinerChain, Phase, Round  # noqa: E402
from subnet.verify.workloads import QUESTIONS  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
GENESIS, NETUID, HEAD = b"g" * 32, 2, 100
VALIDATOR = Keypair.create_from_uri("//SybilBenchmark")
DEADLINE_S = 240.0
QUALITY = 0.8


def block_hash(number: int) -> bytes:
    return number.to_bytes(32, "big")


def keys(machine: str, hotkeys: int) -> list[Keypair]:
    return [Keypair.create_from_uri(f"//{machine}//{number}") for number in range(hotkeys)]


async def serve_machine(name: str, hotkeys: int, batch: int, core: int) -> None:
    """One engine on one core behind so many axons; prints their ports, and serves until its input ends."""
    os.sched_setaffinity(0, {core})
    from subnet.miner.embedded import EmbeddedEngine

    manifest = find_model(DEFAULT_MODEL).manifest
    role = MinerRole(max_batch=batch, max_waiting=512, max_tokens=64, max_prompt_tokens=256)
    engine = EmbeddedEngine(manifest, MinerConfig(miner=role, threads=1))
    await engine.start()
    tokenizer = load_tokenizer(DEFAULT_MODEL)
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = []
        for number, hotkey in enumerate(keys(name, hotkeys)):
            beacons = Beacons(lambda block: asyncio.sleep(0, block_hash(block)))
            beacons.see(Head(HEAD, block_hash(HEAD)))
            answers = AnswerStore(folder / str(number))
            offer = ModelOffer(manifest.digest, manifest.name, manifest.max_positions)
            terms = Terms(GENESIS, NETUID, offer, "benchmark", 64, 256, batch)
            epochs = EpochBook(4096, answers.last_epoch())
            service = MinerService(
                terms, hotkey, engine, epochs, beacons, answers, Registry("miner", METRICS), tokenizer.decode
            )
            nonces = stack.enter_context(SharedNonceStore(folder / f"{number}.bin", slots=4096))
            axon = Axon(Identity(bytes(hotkey.public_key), GENESIS, NETUID), service, lambda caller: None, nonces)
            ports.append((await stack.enter_async_context(AxonServer(axon, listen("127.0.0.1", 0)))).port)
        sys.stdout.write(json.dumps(ports) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    await engine.close()


@contextlib.contextmanager
def machine(name: str, hotkeys: int, batch: int, core: int):
    """A machine's process: the neurons behind it."""
    command = [sys.executable, __file__, "--serve", name, str(hotkeys), str(batch), str(core)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline())
        yield [
            Neuron(
                number,
                hotkey.ss58_address,
                hotkey.ss58_address,
                0.0,
                False,
                True,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                Endpoint("127.0.0.1", port),
            )
            for number, (hotkey, port) in enumerate(zip(keys(name, hotkeys), ports, strict=True))
        ]
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


@dataclass(frozen=True, slots=True)
class Row:
    """One machine behind `hotkeys`, each asked `requests` at once, against the same machine behind one hotkey."""

    hotkeys: int
    requests: int
    rounds: int
    tokens_per_second: float
    """Of the machine, over the time in which it had work."""
    value: float
    """Rates (tokens a second in the window, by their value) of its hotkeys together, relative to the other machine."""
    share: float
    """Of the weights, after the last round."""


async def play(hotkeys: int, requests: int, rounds: int, batch: int, tokens: int) -> Row:
    """Rounds of two machines, the first split."""
    manifest = find_model(DEFAULT_MODEL).manifest
    tokenizer = load_tokenizer(DEFAULT_MODEL)
    network = Network(GENESIS, NETUID, manifest.digest, bytes(VALIDATOR.public_key))
    bench = Bench(network.validator, 10**9, profile_of(manifest), Policy(10, 10, 10, 5), ScoringRules())
    book, values, speeds = ScoreBook(), [], []
    with (
        machine("Split", hotkeys, batch, 0) as ours,
        machine("Whole", 1, batch, 1) as theirs,
        tempfile.TemporaryDirectory() as folder,
    ):
        neurons = [*ours, *theirs]
        store = Store(Path(folder))
        async with Dendrite(VALIDATOR, allow_private=True) as dendrite:
            asker = Asker(dendrite, network, store)
            for number in range(1, rounds + 2):
                chains = await asker.shake_hands(neurons, requests)
                questions = [
                    Question(f"{number}:{i}", Conversation.of(text), tokenizer.chat(Conversation.of(text).as_dicts()),
                             1000, 0, tokens)
                    for i, text in enumerate((QUESTIONS * 4)[number : number + requests])
                ]  # fmt: skip
                asked = []
                for neuron in neurons:
                    chain = chains[neuron.hotkey]
                    assert isinstance(chain, MinerChain), chain
                    asked += [
                        addressed(
                            question, network, round_number=number, miner=neuron.hotkey,
                            miner_key=public_key(neuron.hotkey), beacon=(HEAD, block_hash(HEAD)), nonce=os.urandom(32),
                            epoch=chain.epoch, counter=chain.next_counter + place,
                            plan=CheckPlan(HEAD + 50, 0, os.urandom(32)),
                        )
                        for place, question in enumerate(questions)
                    ]  # fmt: skip
                opened = Round(number, Phase.ASKING, HEAD, HEAD + 50, os.urandom(32), time.time())
                exchanges = store.begin_round(opened, asked)
                endpoints = {neuron.hotkey: neuron.axon for neuron in neurons}
                await asyncio.gather(
                    *(asker.ask(e, endpoints[e.miner], chains[e.miner], DEADLINE_S) for e in exchanges)  # type: ignore[arg-type]
                )
                done = store.exchanges(number)
                assert all(e.response is not None for e in done), [e.detail for e in done if e.response is None]
                cases = [Case(e, False, Examined(quality=QUALITY)) for e in done]
                samples = judge(cases, number, {}, bench, HEAD).samples
                if number == 1:
                    continue  # the first round warms both machines up
                book = update(book, samples, bench.rules)
                last = {h: s.last for h, s in book.standings.items() if s.last is not None}
                mine = [last[n.hotkey].rate for n in ours]
                values.append(sum(mine) / last[theirs[0].hotkey].rate)
                own = [s for s in samples if s.hotkey in {n.hotkey for n in ours}]
                speeds.append(sum(s.tokens for s in own) / max(s.finished_at - s.sent_at for s in own))
        store.close()
    uids = {neuron.hotkey: uid for uid, neuron in enumerate(neurons)}
    vector = weights(book, uids, WeightRules())
    shares = dict(zip(vector.uids, vector.shares, strict=True))
    share = sum(shares[uids[neuron.hotkey]] for neuron in ours)
    return Row(hotkeys, requests, rounds, statistics.median(speeds), statistics.median(values), share)


def table(rows: list[Row]) -> str:
    """Every row against the machine behind one hotkey that is asked the same."""
    alone = {row.requests: row for row in rows if row.hotkeys == 1}
    lines = [
        "| requests a hotkey, at once | hotkeys | machine's tokens/s | value against the equal machine | share of the "
        "weights | against one hotkey |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        gain = row.share / alone[row.requests].share
        lines.append(
            f"| {row.requests} | {row.hotkeys} | {row.tokens_per_second:.1f} | {row.value:.2f} | {row.share:.3f} | "
            f"{gain:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python benchmarks/sybil.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of each, and nothing is recorded")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch", type=int, default=8, help="completions that a machine decodes together")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        name, hotkeys, batch, core = options.serve
        asyncio.run(serve_machine(name, int(hotkeys), int(batch), int(core)))
        return 0
    rounds = 1 if options.quick else options.rounds
    plan = [(1, 8), (4, 8)] if options.quick else [(1, 8), (2, 8), (4, 8), (1, 1), (4, 1)]
    rows: list[Row] = []
    for hotkeys, requests in plan:
        rows.append(asyncio.run(play(hotkeys, requests, rounds, options.batch, options.tokens)))
        sys.stdout.write(f"{rows[-1]}\n")
        sys.stdout.flush()
    sys.stdout.write(table(rows))
    if not options.quick:
        facts: dict[str, Any] = {
            "batch": options.batch,
            "tokens": options.tokens,
            "rows": [asdict(row) for row in rows],
        }
        (RESULTS / "sybil.json").write_text(json.dumps(facts, indent=1) + "\n")
        (RESULTS / "sybil.md").write_text(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
