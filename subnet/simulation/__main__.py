"""At which check rate does each cheat stop paying, and what does that cost validators?

Plays a subnet of 256 neurons over many epochs with real Yuma Consensus, prints tables, and writes simulation.json and
simulation.png. With --docs it also puts the tables into docs/tuning.md.

    python -m subnet.simulation                          # all cheats, default knobs: some minutes
    python -m subnet.simulation --quick                  # a look: under a minute
    python -m subnet.simulation --requests 4 --no-sharing --rates 0.01,0.1,1
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from subnet.errors import AssayError, ConfigError
from subnet.simulation import report
from subnet.simulation.cheats import STRATEGIES, TABLE, Cheat, measured
from subnet.simulation.subnet import Miner, World
from subnet.simulation.sweep import (
    DEFAULT_RATES,
    DEFAULT_SIZES,
    DEFAULT_SLASHES,
    Played,
    Price,
    Sweep,
    population,
    sweep,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
QUICK_RATES = (0.001, 0.01, 0.1, 1.0)
QUICK_EPOCHS = 60
Titled = tuple[str, list[str], list[list[str]]]
QUICK_CHEATS = ("copies", "int4", "fp8", "bf16", "fp8_kv")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the simulation. Returns the exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    try:
        cheats = _cheats(options)
        world = _world(options)
        played = _play(options, world, cheats, console)
    except AssayError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 2
    tables = _tables(played, cheats)
    _print(console, tables)
    console.print(_verdict(played.main), highlight=False)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "simulation.json").write_text(json.dumps(report.values(played), indent=1) + "\n")
    report.draw(options.output / "simulation.png", played, cheats, STRATEGIES)
    if options.docs:
        page = ROOT / "docs" / "tuning.md"
        page.write_text(report.insert(page.read_text(), _markdown(played.main, tables)))
    console.print(f"written: {options.output}/simulation.json, {options.output}/simulation.png", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    default = World()
    price = Price()
    parser = argparse.ArgumentParser(
        prog="python -m subnet.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer cheats, rates and epochs, and no comparisons")
    add("--rates", type=_floats, help="check rates to play, comma-separated shares of answers (default: 0.0001 to 1)")
    add("--slash-epochs", type=int, default=default.slash_epochs, help="epochs out (default: %(default)s)")
    add("--slashes", type=_ints, help="slash durations to compare, comma-separated epochs; 0 for none")
    add("--sizes", type=_ints, help="numbers of validators to compare, comma-separated; 0 for none")
    add("--epochs", type=int, default=default.epochs, help="epochs to play (default: %(default)s)")
    add("--seeds", type=int, default=1, help="runs to average at each rate (default: %(default)s)")
    add("--seed", type=int, default=default.seed, help="of all chance (default: %(default)s)")
    add("--validators", type=int, default=default.validators, help="default: %(default)s")
    add("--miners", type=int, default=default.miners, help="default: %(default)s")
    add(
        "--requests",
        type=int,
        default=default.requests,
        help="a validator's to a miner an epoch (default: %(default)s)",
    )
    add("--tokens", type=int, default=default.tokens, help="tokens in an answer (default: %(default)s)")
    add("--no-sharing", action="store_true", help="validators act on their own evidence only")
    add("--registration", type=float, default=default.registration, help="alpha for a hotkey (default: %(default)s)")
    add("--bond", type=float, default=default.bond, help="alpha lost when accused (default: %(default)s)")
    add("--cost-share", type=float, default=default.cost_share, help="compute of honest pay (default: %(default)s)")
    add("--speed-reward", type=float, default=default.speed_reward, help="score for speed (default: %(default)s)")
    add("--captured", type=float, default=default.captured, help="cheats' share of stake (default: %(default)s)")
    add("--replay-seconds", type=float, default=price.replay_s, help="for 128 tokens, 2 cores (default: %(default)s)")
    add("--decode-seconds", type=float, default=price.decode_s, help="the same for mining (default: %(default)s)")
    add("--cheats", type=_names, help=f"of {', '.join(cheat.zoo for cheat in TABLE)}")
    add("--delays", type=Path, help="results of the detection benchmark (default: benchmarks/results/detection.json)")
    add("--output", type=Path, default=RESULTS, help="folder for simulation.json and simulation.png")
    add("--docs", action="store_true", help="write the tables into docs/tuning.md")
    return parser


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _cheats(options: argparse.Namespace) -> tuple[Cheat, ...]:
    names = options.cheats or (QUICK_CHEATS if options.quick else tuple(cheat.zoo for cheat in TABLE))
    unknown = set(names) - {cheat.zoo for cheat in TABLE}
    if unknown:
        raise ConfigError(f"unknown cheats {', '.join(sorted(unknown))}; there are {', '.join(c.zoo for c in TABLE)}")
    path = options.delays or RESULTS / "detection.json"
    known = measured(path) if options.delays or path.exists() else TABLE
    return tuple(cheat for cheat in known if cheat.zoo in names)


def _world(options: argparse.Namespace) -> World:
    return World(
        validators=options.validators,
        miners=options.miners,
        epochs=min(options.epochs, QUICK_EPOCHS) if options.quick else options.epochs,
        requests=options.requests,
        tokens=options.tokens,
        slash_epochs=options.slash_epochs,
        sharing=not options.no_sharing,
        registration=options.registration,
        bond=options.bond,
        cost_share=options.cost_share,
        speed_reward=options.speed_reward,
        captured=options.captured,
        seed=options.seed,
    )


def _play(options: argparse.Namespace, world: World, cheats: Sequence[Cheat], console: Console) -> Played:
    rates = options.rates or (QUICK_RATES if options.quick else DEFAULT_RATES)
    durations = _others(options.slashes, () if options.quick else DEFAULT_SLASHES)
    # The world's own duration is played again, in a world of only such cheats as the others are compared in.
    durations = sorted({*durations, world.slash_epochs}) if durations else []
    sizes = _others(options.sizes, () if options.quick else DEFAULT_SIZES, world.validators)
    alone = bool(durations or sizes) and world.sharing
    price = Price(options.decode_seconds, options.replay_seconds)
    # Two of each steady the averages, where that leaves most miners honest.
    each = 2 if 4 * len(cheats) * len(STRATEGIES) <= world.miners else 1
    miners = population(world, cheats, STRATEGIES, each)
    waiting = population(world, cheats, STRATEGIES[:1], each)
    runs = len(rates) * (options.seeds + len(sizes) + alone) + len(durations)
    with _progress(console, runs * world.epochs) as tick:

        def play(world: World, miners: Sequence[Miner], rates: Sequence[float] = rates, seeds: int = 1) -> Sweep:
            return sweep(world, miners, rates, seeds, price, tick)

        main_sweep = play(world, miners, seeds=options.seeds)
        one_rate = (_slash_rate(rates),)
        by_slash = {epochs: play(replace(world, slash_epochs=epochs), waiting, one_rate) for epochs in durations}
        by_size = {validators: play(replace(world, validators=validators), miners) for validators in sizes}
        unshared = play(replace(world, sharing=False), miners) if alone else None
    if sizes:
        by_size[world.validators] = main_sweep
    return Played(main_sweep, by_slash, dict(sorted(by_size.items())), unshared)


def _slash_rate(rates: Sequence[float]) -> float:
    """The check rate at which slash durations are compared: the one nearest to 1 %."""
    return min(rates, key=lambda rate: abs(math.log(rate / 0.01)))


def _others(chosen: Sequence[int] | None, default: Sequence[int], played: int | None = None) -> list[int]:
    """The values to compare with, without one that is played anyway; 0 stands for none."""
    return [value for value in (default if chosen is None else chosen) if value and value != played]


@contextmanager
def _progress(console: Console, epochs: int) -> Iterator[Callable[[int], None]]:
    columns = (
        TextColumn("epochs played"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=epochs)
        yield lambda _: progress.advance(task)


def _tables(played: Played, cheats: Sequence[Cheat]) -> list[Titled]:
    header = report.break_even_header(STRATEGIES)
    title = "Check rate from which a cheat earns less than an honest miner"
    tables: list[Titled] = [(title, header, report.break_even_rows(played.main, cheats, STRATEGIES))]
    if played.alone is not None:
        title = "The same where validators don't share evidence"
        tables.append((title, header, report.break_even_rows(played.alone, cheats, STRATEGIES)))
    if played.sizes:
        title = "The same by number of validators that share evidence, for the hardest strategy"
        tables.append((title, report.size_header(played.sizes), report.size_rows(played.sizes, cheats)))
    if played.slashes:
        at = _slash_rate([work.rate for work in played.main.work])
        title = f"Gain over honesty at a check rate of {at * 100:g} %, for a cheat that {STRATEGIES[0].name}"
        rows = report.slash_rows(played.slashes, cheats, STRATEGIES[0], at)
        tables.append((title, report.slash_header(played.slashes), rows))
    tables.append(("What checking costs one validator", report.WORK_HEADER, report.work_rows(played.main)))
    return tables


def _verdict(result: Sweep) -> str:
    if math.isinf(result.sufficient):
        return "At the highest of these check rates some cheat still pays."
    if result.sufficient == 0:
        return "At the lowest of these check rates no cheat pays."
    return f"From a check rate of {result.sufficient * 100:.2g} % on, none of these cheats pays."


def _print(console: Console, tables: Sequence[Titled]) -> None:
    for title, header, rows in tables:
        table = Table(title=title, title_justify="left", title_style="bold")
        for index, name in enumerate(header):
            table.add_column(name, justify="right" if index else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _markdown(result: Sweep, tables: Sequence[Titled]) -> str:
    world = result.world
    setting = (
        f"{world.validators} validators, {world.miners} miners, {world.epochs} epochs of {world.tempo} blocks, "
        f"{world.requests} answers of {world.tokens} tokens from each miner to each validator an epoch, "
        f"{world.slash_epochs} epochs out, {world.registration:g} alpha for a hotkey "
        f"({world.registration / world.fair_pay:.1f} epochs of honest pay), bond {world.bond:g}."
    )
    parts = [setting, f"**{_verdict(result)}**"]
    for title, header, rows in tables:
        parts.append(f"**{title}**\n\n{report.markdown(header, rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
