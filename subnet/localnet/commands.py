"""The command lines that the localnet starts: the same ones that a person would type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from subnet.localnet.bootstrap import GUEST, HOTKEY, VALIDATOR_STAKE_TAO, Opened
from subnet.localnet.plan import Participant, Plan
from subnet.models.registry import DEFAULT_MODEL

REQUEST_TIMEOUT_S = 15
"""Answers are selected by a block after this deadline, so it sets the length of a round; eight model processes share
two cores, and an answer takes a few seconds."""
ADDRESS = "127.0.0.2"
"""Loopback, and not 127.0.0.1: chains refuse an axon there."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where everything lives in one run."""

    plan: Plan
    opened: Opened
    endpoint: str

    def state(self, participant: Participant) -> Path:
        return self.plan.folder / participant.name

    def arguments(self, participant: Participant) -> list[str]:
        """Arguments of `python` for a participant's process, from the repository's root."""
        script = "validator" if participant.is_validator else "miner"
        common = [
            f"neurons/{script}.py",
            *("--netuid", str(self.opened.netuid)),
            *("--subtensor.chain_endpoint", self.endpoint),
            *("--wallet.path", str(self.opened.wallets)),
            *("--wallet.name", participant.name),
            *("--wallet.hotkey", HOTKEY),
            *("--state.dir", str(self.state(participant))),
            *("--threads", str(self.plan.threads)),
            "--wandb.off",
            *("--http.port", "0"),
        ]
        listen = ["--axon.external_ip", ADDRESS, "--axon.ip", ADDRESS, "--axon.port", "0"]
        if self.plan.model != DEFAULT_MODEL:
            common += ["--model.path", self.plan.model]
        if participant.is_validator:
            return [*common, *listen, *self.pace()]
        serve = ["--miner.max_prompt_tokens", "512", "--miner.max_tokens", "128", "--miner.self_test", "0", *listen]
        if participant.cheats:
            serve += ["--miner.engine", "tests.zoo.miner:factory", "--miner.engine_option"]
            serve += [f"adversary={participant.kind}"]
        return common + serve

    def pace(self) -> list[str]:
        """A validator's settings for a run of minutes: everything is checked, weights follow every epoch."""
        settings = {
            "requests": 1,
            "max_requests": 1,
            "max_tokens": 24,
            "round_blocks": 6,
            "request_timeout_s": REQUEST_TIMEOUT_S,
            "check_rate": 1.0,
            "weights_blocks": max(1, self.plan.tempo // 3),
            "commit_blocks": self.plan.tempo,
            "slash_blocks": 100 * self.plan.tempo,
        }
        return [
            "--validator.allow_private",
            *(word for name, value in settings.items() for word in (f"--validator.{name}", str(value))),
        ]

    def attach(self) -> list[str]:
        """Commands with which a person adds a miner, or a validator, to a run that is kept.

        The guest wallet is made and funded with the others, and not registered.
        """
        wallet = f"--wallet {GUEST} --wallet-path {self.opened.wallets} --network {self.endpoint}"
        neuron = (
            f"--netuid {self.opened.netuid} --subtensor.chain_endpoint {self.endpoint} --http.port 0 "
            f"--wallet.path {self.opened.wallets} --wallet.name {GUEST} --state.dir {self.plan.folder / GUEST} "
            f"--axon.external_ip {ADDRESS} --axon.ip {ADDRESS} --axon.port 0"
        )
        return [
            f"btcli subnets register --netuid {self.opened.netuid} {wallet} -y",
            f"python neurons/miner.py {neuron}",
            "or, as a validator:",
            f"btcli stake add --netuid {self.opened.netuid} --amount {VALIDATOR_STAKE_TAO:g} {wallet} -y",
            f"python neurons/validator.py {neuron} --validator.allow_private",
        ]
