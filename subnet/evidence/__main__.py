"""`python -m subnet.evidence`: verify a bundle from its bytes to its verdict, or look into one.

Exit status: 0 the verdict follows, 1 it does not, 2 the file can't be read or something could not be checked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from subnet.errors import AssayError, ChainError, EvidenceError, ModelError
from subnet.evidence.bundle import MAX_BUNDLE_BYTES, RECORD_BYTES, SignedBundle
from subnet.evidence.check import BlockSource, Finding, link_plan
from subnet.models import Manifest, builtin_manifests, find_model
from subnet.protocol import ss58_address

if TYPE_CHECKING:
    from subnet.engine.causal import CausalModel
    from subnet.evidence.replay import LoadModel, Report

FOLLOWS, DOES_NOT_FOLLOW, NOT_CHECKED = 0, 1, 2
SIGNS = {True: "[green]holds[/green]", False: "[red]fails[/red]", None: "[yellow]unknown[/yellow]"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        return options.run(options, console)
    except AssayError as error:
        console.print(f"[yellow]{type(error).__name__}[/yellow]: {error}", highlight=False, soft_wrap=True)
        return NOT_CHECKED
    except KeyboardInterrupt:
        console.print("interrupted: nothing is known about the bundle")
        return 130
    except Exception:  # whatever breaks here is ours: Python's own status 1 would speak against the bundle
        console.print_exception()
        return NOT_CHECKED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m subnet.evidence",
        description="Evidence against a miner: one file that anybody can check. Exit status: 0 the verdict follows, "
        "1 it does not follow, 2 the file can't be read or something could not be checked.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    verifying = commands.add_parser(
        "verify",
        help="check every signature, link, block and round, replay the tokens, and run the test again",
        description="Derives the verdict anew. Needs the model (its hashes are checked), and no network. Without "
        "--endpoint the hashes of blocks are the bundle's own; the report says so.",
    )
    verifying.add_argument("file", type=Path, help="the bundle")
    verifying.add_argument(
        "--endpoint", help="compare the block hashes with a chain: a network's name or ws://host:port"
    )
    verifying.add_argument("--model", help="path of the manifest, for a model that does not come with this package")
    verifying.add_argument(
        "--cache", type=Path, help="keep models under this folder instead of the user's cache folder"
    )
    verifying.add_argument("--threads", type=int, help="threads of the replay; default: all cores")
    verifying.add_argument("--json", action="store_true", help="write the report as JSON to standard output")
    verifying.set_defaults(run=_verify)

    showing = commands.add_parser("show", help="what a bundle says, without checking it")
    showing.add_argument("file", type=Path, help="the bundle")
    showing.add_argument("--tokens", action="store_true", help="list every token that misses, with its margin")
    showing.set_defaults(run=_show)
    return parser


def _read(path: Path) -> SignedBundle:
    try:
        size = path.stat().st_size
        if size > MAX_BUNDLE_BYTES:
            raise EvidenceError(f"{path} has {size} bytes; a bundle has at most {MAX_BUNDLE_BYTES}")
        return SignedBundle.from_bytes(path.read_bytes())
    except OSError as error:
        raise EvidenceError(f"{path} can't be read: {error.strerror}") from error


def _verify(options: argparse.Namespace, console: Console) -> int:
    from subnet.evidence.replay import Result, verify_bundle

    signed = _read(options.file)
    source = _chain_hashes(signed, options.endpoint, console) if options.endpoint else None
    with _progress(console) as told:
        report = verify_bundle(signed, _loader(options), source, told)
    if options.json:
        sys.stdout.write(json.dumps(_as_json(signed, report), indent=1) + "\n")
    else:
        _print(signed, report, Console())
    return {Result.FOLLOWS: FOLLOWS, Result.DOES_NOT_FOLLOW: DOES_NOT_FOLLOW}.get(report.result, NOT_CHECKED)


def _loader(options: argparse.Namespace) -> LoadModel:
    """Loads models that this installation knows; a stranger's manifest never decides what is fetched or loaded."""

    def load(manifest: Manifest) -> CausalModel:
        from subnet.models import load_model

        named = find_model(options.model) if options.model else None
        known = [named.manifest] if named else list(builtin_manifests())
        if all(manifest.digest != one.digest for one in known):
            names = ", ".join(one.name for one in known)
            raise ModelError(
                f"the bundle is about model {manifest.name} ({manifest.digest.hex()[:16]}…), which is none of {names}: "
                "give its manifest with --model"
            )
        return load_model(options.model or manifest, dtype="float32", cache=options.cache, threads=options.threads)

    return load


def _chain_hashes(signed: SignedBundle, endpoint: str, console: Console) -> BlockSource:
    """The hashes of the bundle's blocks on a chain, read at once."""
    from subnet.chain import Chain, ChainAway

    numbers = [0, *(block.number for block in signed.bundle.blocks)]

    async def read() -> dict[int, bytes | None]:
        chain = Chain(endpoint)
        try:
            found: dict[int, bytes | None] = {}
            for number in numbers:
                try:
                    found[number] = await chain.block_hash(number)
                except ChainAway:
                    raise
                except ChainError:
                    found[number] = None
            return found
        finally:
            await chain.close()

    console.print(f"asking {endpoint} for {len(numbers)} blocks", highlight=False)
    try:
        hashes = asyncio.run(read())
    except ChainError as error:
        failure = error

        def away(number: int) -> bytes | None:
            raise failure

        return away
    return hashes.get


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("replaying tokens", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(signed: SignedBundle, report: Report, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        table.add_row(SIGNS[finding.holds], finding.check, finding.detail)
    console.print(f"bundle {signed.bundle.digest.hex()}", highlight=False, soft_wrap=True)
    console.print(f"miner  {ss58_address(signed.bundle.miner)}", highlight=False)
    console.print(table)
    colour = {"follows": "green", "does not follow": "red"}.get(report.result.value, "yellow")
    said = signed.bundle.verdict
    ending = {
        "follows": f"the verdict “{said}” follows: everything above holds",
        "does not follow": f"the verdict “{said}” does not follow: {_named(report, False)}",
        "abstains": f"not everything could be checked ({_named(report, None)}): nothing is said about the miner",
    }[report.result.value]
    console.print(f"[{colour}]{ending}[/{colour}]", highlight=False)


def _named(report: Report, holds: bool | None) -> str:
    """The checks that ended so."""
    names = ", ".join(finding.check for finding in report.findings if finding.holds is holds)
    return f"{names} {'fails' if holds is False else 'unknown'}" if names else "the replay reaches another verdict"


def _as_json(signed: SignedBundle, report: Report) -> dict[str, Any]:
    def plain(finding: Finding) -> dict[str, Any]:
        return {"check": finding.check, "holds": finding.holds, "detail": finding.detail}

    return {
        "bundle": signed.bundle.digest.hex(),
        "miner": ss58_address(signed.bundle.miner),
        "validator": ss58_address(signed.bundle.validator),
        "result": report.result.value,
        "stated_verdict": signed.bundle.verdict,
        "own_verdict": report.verdict,
        "tokens": report.tokens,
        "accused_at": report.accused_at,
        "evidence": report.evidence,
        "findings": [plain(finding) for finding in report.findings],
    }


def _show(options: argparse.Namespace, console: Console) -> int:
    signed = _read(options.file)
    bundle = signed.bundle
    out = Console()
    tokens = sum(len(answer.response.body.tokens) for answer in bundle.answers)
    manifest = Manifest.loads(bundle.manifest)
    rows = {
        "bundle": bundle.digest.hex(),
        "validator": ss58_address(bundle.validator),
        "miner": ss58_address(bundle.miner),
        "network": f"netuid {bundle.netuid} of the chain with genesis {bundle.genesis.hex()}",
        "model": f"{manifest.name}, {bundle.model_id.hex()}",
        "class": manifest.tolerance.tolerance_class,
        "epoch": str(bundle.handshake.commitment.epoch),
        "blocks": f"{bundle.blocks[0].number} to {bundle.blocks[-1].number}" if bundle.blocks else "none",
        "answers": f"{len(bundle.links)} in the chain, {len(bundle.answers)} of them selected: {tokens} tokens",
        "rounds": str(len(bundle.rounds)),
        "software": ", ".join(bundle.software),
        "verdict": bundle.verdict + (f", at token {bundle.accused_at}" if bundle.accused_at else ""),
    }
    for name, value in rows.items():
        out.print(f"{name:<10} {value}", highlight=False, soft_wrap=True)
    out.print(_answers_table(signed, options.tokens))
    out.print("not checked: use verify", style="dim")
    return FOLLOWS


def _answers_table(signed: SignedBundle, every_miss: bool) -> Table:
    bundle = signed.bundle
    rates = {link.request_digest: link_plan(link).rate_ppm for link in bundle.links}
    table = Table("counter", "beacon", "rate", "prompt", "tokens", "misses", "worst margin", box=None, pad_edge=False)
    for answer in bundle.answers:
        request, body = answer.request, answer.response.body
        rows = [answer.records[i : i + RECORD_BYTES] for i in range(0, len(answer.records), RECORD_BYTES)]
        margins = [int.from_bytes(row[1:5], "big") / 65536 for row in rows]
        misses = [place for place, row in enumerate(rows) if row[0]]
        table.add_row(
            str(request.counter),
            str(request.beacon_block),
            f"{rates[request.digest] / 10_000:g} %",
            str(len(request.prompt)),
            str(len(body.tokens)),
            str(len(misses)) if rows else "not replayed",
            f"{max(margins, default=0.0):.3f}",
        )
        if every_miss:
            for place in misses:
                table.add_row("", "", "", f"  token {place}", str(body.tokens[place]), "", f"{margins[place]:.3f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
