"""What a localnet run consists of, decided before anything starts. Values only."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from subnet.errors import ConfigError
from subnet.models.registry import DEFAULT_MODEL

DEFAULT_ADVERSARIES = ("int4", "wrong_seed", "fp8_kv")
HONEST = "honest"
EPOCHS_HELP = (
    "epochs after the first weights at which to judge; after two of them a run ends as soon as every cheat is accused "
    "by every validator and has no incentive (default: %(default)s)"
)


@dataclass(frozen=True, slots=True)
class Participant:
    """One neuron process. `kind` is "validator", "honest" or an adversary's name from the zoo."""

    name: str
    kind: str

    @property
    def is_validator(self) -> bool:
        return self.kind == "validator"

    @property
    def cheats(self) -> bool:
        return self.kind not in ("validator", HONEST)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. block_time in seconds, tempo in blocks, threads per model process."""

    participants: tuple[Participant, ...]
    epochs: int
    tempo: int
    block_time: float
    threads: int
    model: str
    folder: Path
    endpoint: str | None
    keep: bool
    page_port: int

    @property
    def validators(self) -> tuple[Participant, ...]:
        return tuple(p for p in self.participants if p.is_validator)

    @property
    def miners(self) -> tuple[Participant, ...]:
        return tuple(p for p in self.participants if not p.is_validator)


def participants(validators: int, miners: int, adversaries: tuple[str, ...]) -> tuple[Participant, ...]:
    """`validators` validators and `miners` miners, the last of which cheat, one per adversary name.

    Raises ConfigError when there would be no validator or no honest miner.
    """
    if validators < 1:
        raise ConfigError(f"--validators is {validators}: a subnet needs at least one validator")
    honest = miners - len(adversaries)
    if honest < 1:
        raise ConfigError(
            f"--miners is {miners} with {len(adversaries)} adversaries: at least one miner must be honest, "
            f"so give --miners {len(adversaries) + 1} or more, or name fewer --adversaries"
        )
    kinds = ["validator"] * validators + [HONEST] * honest + list(adversaries)
    names = [f"validator-{i + 1}" for i in range(validators)] + [f"miner-{i + 1}" for i in range(miners)]
    return tuple(Participant(name, kind) for name, kind in zip(names, kinds, strict=True))


def command_line(known_adversaries: dict[str, str], default_folder: Path) -> argparse.ArgumentParser:
    """The flags of scripts/localnet.sh."""
    parser = argparse.ArgumentParser(
        prog="localnet.sh",
        description="Runs a subnet on this machine (chain, validators, honest miners, cheats) and shows who is caught.",
        epilog="adversaries: " + "; ".join(f"{name} ({what})" for name, what in sorted(known_adversaries.items())),
    )
    parser.add_argument("--validators", type=int, default=2, help="number of validators (default: %(default)s)")
    parser.add_argument(
        "--miners", type=int, default=6, help="number of miners, cheats included (default: %(default)s)"
    )
    parser.add_argument(
        "--adversaries",
        default=",".join(DEFAULT_ADVERSARIES),
        metavar="NAMES",
        help="comma-separated cheats, one miner each; '' for none (default: %(default)s)",
    )
    parser.add_argument("--epochs", type=int, default=8, help=EPOCHS_HELP)
    parser.add_argument("--tempo", type=int, default=15, help="blocks between epochs (default: %(default)s)")
    parser.add_argument("--block-time", type=float, default=1.0, help="seconds a block (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of each model process (default: %(default)s)"
    )
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="model to serve and to verify: a name of `python -m subnet.models list`, or the path of a manifest "
        "(default: %(default)s)",
    )
    parser.add_argument("--folder", type=Path, default=default_folder, help="where wallets, logs and state go")
    parser.add_argument(
        "--subtensor.chain_endpoint",
        dest="endpoint",
        metavar="WS_URL",
        help="use this running local chain (the official image, say) instead of starting ours; //Alice must be funded",
    )
    parser.add_argument(
        "--keep", action="store_true", help="stay up after the verdict, for your own miner or validator"
    )
    parser.add_argument(
        "--page-port", type=int, default=8080, help="port of the status page, 0 for any (default: %(default)s)"
    )
    return parser


def parse(argv: list[str] | None, known_adversaries: dict[str, str], default_folder: Path) -> Plan:
    """The plan that the command line asks for. Unknown adversaries raise ConfigError with the list of known ones."""
    args = command_line(known_adversaries, default_folder).parse_args(argv)

    names = tuple(name.strip() for name in args.adversaries.split(",") if name.strip())
    unknown = sorted(set(names) - set(known_adversaries))
    if unknown:
        raise ConfigError(f"unknown adversaries {', '.join(unknown)}; known: {', '.join(sorted(known_adversaries))}")
    for flag, value, least in (
        ("--epochs", args.epochs, 1),
        ("--tempo", args.tempo, 2),
        ("--threads", args.threads, 1),
    ):
        if value < least:
            raise ConfigError(f"{flag} is {value}; it must be at least {least}")
    if not args.block_time > 0:
        raise ConfigError(f"--block-time is {args.block_time}; it must be positive")
    return Plan(
        participants=participants(args.validators, args.miners, names),
        epochs=args.epochs,
        tempo=args.tempo,
        block_time=args.block_time,
        threads=args.threads,
        model=args.model,
        folder=args.folder,
        endpoint=args.endpoint,
        keep=args.keep,
        page_port=args.page_port,
    )
