"""The settings of the two roles. Names follow Bittensor's flags; every value is checked where it is declared.

Durations end in _s (seconds) or _blocks; sizes are bytes unless the name says otherwise.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from subnet.config.gates import GATES, GateModes, gate_modes
from subnet.config.setting import option
from subnet.errors import ConfigError


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"--{name}: {value} is outside {low} to {high}")


@dataclass(frozen=True, slots=True)
class Subtensor:
    network: str = option(
        "finney", "finney, test, local, or a ws:// or wss:// endpoint", env=("BT_NETWORK", "BT_SUBTENSOR_NETWORK")
    )
    chain_endpoint: str = option(
        "",
        "the chain's websocket endpoint; overrides the network",
        env=("BT_CHAIN_ENDPOINT", "BT_SUBTENSOR_CHAIN_ENDPOINT"),
    )
    timeout_s: float = option(20.0, "deadline of every chain call, in seconds")

    def __post_init__(self) -> None:
        _in_range("subtensor.timeout_s", self.timeout_s, 0.1, 600)
        if self.chain_endpoint and not self.chain_endpoint.startswith(("ws://", "wss://")):
            raise ConfigError(f"--subtensor.chain_endpoint: {self.chain_endpoint!r} must start with ws:// or wss://")

    @property
    def target(self) -> str:
        """What to connect to: an endpoint, or the name of a network."""
        return self.chain_endpoint or self.network


@dataclass(frozen=True, slots=True)
class Wallet:
    name: str = option("default", "name of the wallet; only its public coldkey file is read", env=("BT_WALLET_NAME",))
    hotkey: str = option("default", "name of the hotkey inside the wallet", env=("BT_WALLET_HOTKEY",))
    path: str = option("~/.bittensor/wallets", "folder of the wallets", env=("BT_WALLET_PATH",))

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser() / self.name


@dataclass(frozen=True, slots=True)
class Axon:
    ip: str = option("0.0.0.0", "address to listen on", env=("BT_AXON_IP",))
    port: int = option(8091, "port to listen on; 0 takes a free one", env=("BT_AXON_PORT",))
    external_ip: str = option(
        "", "address published on the chain; none: the one that reaches the chain", env=("BT_AXON_EXTERNAL_IP",)
    )
    external_port: int = option(0, "port published on the chain; 0: the listening port", env=("BT_AXON_EXTERNAL_PORT",))
    tls: bool = option(False, "serve TLS with a key of our own, which is published on the chain for validators to pin")
    max_connections: int = option(256, "connections served at once; more wait in the kernel's queue")

    def __post_init__(self) -> None:
        _in_range("axon.port", self.port, 0, 65535)
        _in_range("axon.external_port", self.external_port, 0, 65535)
        _in_range("axon.max_connections", self.max_connections, 1, 65536)
        for name, value in (("axon.ip", self.ip), ("axon.external_ip", self.external_ip)):
            try:
                if value:
                    ipaddress.ip_address(value)
            except ValueError as error:
                raise ConfigError(f"--{name}: {value!r} is not an IP address") from error


@dataclass(frozen=True, slots=True)
class Http:
    ip: str = option("127.0.0.1", "address of the operations endpoint: health, readiness, metrics, snapshot")
    port: int = option(9091, "port of the operations endpoint; 0 takes a free one, -1 turns it off")

    def __post_init__(self) -> None:
        _in_range("http.port", self.port, -1, 65535)


@dataclass(frozen=True, slots=True)
class State:
    dir: str = option("", "folder of all that must last; none: ~/.assay/<network>/<netuid>/<wallet>.<hotkey>/<role>")


@dataclass(frozen=True, slots=True)
class Logging:
    debug: bool = option(False, "log at debug level", env=("BT_LOGGING_DEBUG",))
    trace: bool = option(False, "log at trace level", env=("BT_LOGGING_TRACE",))
    file: bool = option(True, "also write rotated logs into the state folder")
    json: bool = option(False, "log to the terminal as JSON lines")

    @property
    def level(self) -> str:
        return "TRACE" if self.trace else "DEBUG" if self.debug else "INFO"


@dataclass(frozen=True, slots=True)
class Metrics:
    jsonl: bool = option(True, "write metrics as JSON lines into the state folder")
    jsonl_max_mb: int = option(32, "size at which the JSON lines file rotates, in MiB; four old files are kept")

    def __post_init__(self) -> None:
        _in_range("metrics.jsonl_max_mb", self.jsonl_max_mb, 1, 4096)


@dataclass(frozen=True, slots=True)
class Wandb:
    mode: str = option("off", "online, offline or off")
    off: bool = option(False, "turn wandb off whatever the mode says", env=("WANDB_DISABLED",))
    offline: bool = option(False, "keep the run on this machine")
    project: str = option("assay", "wandb project", env=("WANDB_PROJECT",))
    entity: str = option("", "wandb entity", env=("WANDB_ENTITY",))
    api_key: str = option("", "wandb key; wandb's own login works as well", env=("WANDB_API_KEY",), secret=True)
    rotate_hours: float = option(24.0, "start a new run after so many hours, below wandb's limits on a single run")

    def __post_init__(self) -> None:
        if self.mode not in ("online", "offline", "off"):
            raise ConfigError(f"--wandb.mode: {self.mode!r} is not one of online, offline, off")
        _in_range("wandb.rotate_hours", self.rotate_hours, 0.01, 24 * 365)

    @property
    def effective(self) -> str:
        return "off" if self.off else "offline" if self.offline else self.mode


@dataclass(frozen=True, slots=True)
class Model:
    path: str = option("", "model folder or file, or a manifest; none: the embedded model")
    dtype: str = option("", "number format of the weights; none: what the manifest says")


@dataclass(frozen=True, slots=True)
class MinerRole:
    engine: str = option("", "bring your own engine, as module:factory; none: the embedded engine")
    engine_option: tuple[str, ...] = option((), "name=value passed to the engine's factory")
    max_batch: int = option(8, "completions decoded together")
    share_weights: bool = option(False, "map the weights instead of copying them: less memory, slower decoding")
    max_tokens: int = option(1024, "longest completion offered")
    max_prompt_tokens: int = option(2048, "longest prompt accepted")
    max_waiting: int = option(64, "requests waiting for the engine before callers are told to come back")
    allow: tuple[str, ...] = option((), "hotkeys that may always ask, permit or not")
    refuse: tuple[str, ...] = option((), "hotkeys that may never ask")
    min_stake: float = option(0.0, "least stake of a caller, in the subnet's alpha")
    require_permit: bool = option(True, "ask for a validator permit")
    keep_hours: float = option(72.0, "how long signed answers are kept, for the miner's own defence")
    secrets: int = option(4096, "size of the committed list of secrets for each validator; a power of two")
    self_test: int = option(256, "tokens that the engine must answer as a validator would, before it serves; 0: none")
    drain_s: float = option(20.0, "how long SIGTERM waits for running requests")

    def __post_init__(self) -> None:
        _in_range("miner.max_batch", self.max_batch, 1, 256)
        _in_range("miner.max_tokens", self.max_tokens, 1, 32768)
        _in_range("miner.max_waiting", self.max_waiting, 1, 100_000)
        _in_range("miner.keep_hours", self.keep_hours, 0.01, 24 * 3650)
        _in_range("miner.drain_s", self.drain_s, 0, 3600)
        _in_range("miner.self_test", self.self_test, 0, 100_000)
        if self.secrets < 2 or self.secrets > 1 << 20 or self.secrets & (self.secrets - 1):
            raise ConfigError(f"--miner.secrets: {self.secrets} is not a power of two between 2 and {1 << 20}")
        for text in self.engine_option:
            if "=" not in text:
                raise ConfigError(f"--miner.engine_option: {text!r} is not name=value")
        if self.engine and self.engine.count(":") != 1:
            raise ConfigError(f"--miner.engine: {self.engine!r} is not module:factory")

    @property
    def engine_options(self) -> dict[str, str]:
        return dict(text.split("=", 1) for text in self.engine_option)


@dataclass(frozen=True, slots=True)
class ValidatorRole:
    sample: int = option(0, "miners asked in a round; 0 asks all of them")
    requests: int = option(1, "requests to every chosen miner in a round, at least")
    max_requests: int = option(64, "and at most: as many as it offers to work on at once, so that its capacity shows")
    scored: int = option(2, "answers of a miner in a round whose quality is scored, chosen after they are in")
    round_blocks: int = option(5, "a new round starts every so many blocks")
    open_rounds: int = option(3, "rounds that may be under way at once; 0 asks nobody")
    select_after_blocks: int = option(2, "blocks between the round's root and the block whose hash selects")
    request_timeout_s: float = option(60.0, "deadline of a request, from the socket write")
    prompt_tokens: int = option(256, "longest prompt asked, in tokens")
    max_tokens: int = option(128, "longest completion asked, in tokens")
    check_rate: float = option(0.1, "share of answers of an old, clean miner that is replayed; others are checked more")
    replay_batch: int = option(8, "answers replayed in one batch")
    replay_timeout_s: float = option(300.0, "deadline of a batch of replay; beyond it the verdict is abstain")
    threshold: float = option(1e9, "evidence that accuses: at most one false accusation in so many tokens")
    slash_blocks: int = option(7200, "how long an accused miner stays out, in blocks")
    challenge_blocks: int = option(7200, "how long an appeal can save an accused miner's bond, in blocks")
    probation_blocks: int = option(7200, "how long it is checked at every request after that, in blocks")
    suspend_blocks: int = option(1200, "how long a disagreement suspends a slash, in blocks")
    weights_blocks: int = option(100, "set weights at most every so many blocks; the chain's own limit holds as well")
    weights_to_owner: bool = option(False, "give everything to the subnet owner's uid while nobody has earned anything")
    ready_blocks: int = option(1200, "not ready when weights are older than this, in blocks")
    commit_blocks: int = option(100, "commit the ledger's root at most every so many blocks")
    reward: str = option("default", "reward model: default, handmade, text, hf:<manifest>, or mix:a=0.7,b=0.3")
    version_key: int = option(0, "version key of the weights; 0 takes the subnet's own")
    gate: tuple[str, ...] = option(
        (), f"name=mode of a gate: off, shadow (recorded only) or enforce, the default; gates are {', '.join(GATES)}"
    )
    peers: bool = option(True, "fetch other validators' bundles and replay them")
    serve: bool = option(True, "publish an axon that serves bundles and the ledger to other validators and miners")
    allow_private: bool = option(False, "ask axons at private and loopback addresses (local subnets only)")
    drain_s: float = option(30.0, "how long SIGTERM waits for the round in progress")
    seed: str = option("", "fixes the random choices of prompts (tests only)", secret=True)

    def __post_init__(self) -> None:
        for name, low, high in (
            ("sample", 0, 4096), ("requests", 1, 64), ("max_requests", 1, 256), ("scored", 1, 256),
            ("round_blocks", 1, 100_000), ("open_rounds", 0, 64),
            ("select_after_blocks", 1, 1000), ("request_timeout_s", 0.1, 3600), ("max_tokens", 1, 32768),
            ("prompt_tokens", 1, 32768), ("check_rate", 0, 1), ("replay_batch", 1, 256),
            ("replay_timeout_s", 1, 86400), ("threshold", 10, 1e30), ("slash_blocks", 1, 10**8),
            ("challenge_blocks", 1, 10**8),
            ("probation_blocks", 0, 10**8), ("suspend_blocks", 0, 10**8), ("weights_blocks", 1, 10**6),
            ("ready_blocks", 1, 10**7), ("commit_blocks", 1, 10**7), ("version_key", 0, 2**63), ("drain_s", 0, 3600),
        ):  # fmt: skip
            _in_range("validator." + name, getattr(self, name), low, high)
        gate_modes(self.gate)

    @property
    def gates(self) -> GateModes:
        """The mode of every gate."""
        return gate_modes(self.gate)


@dataclass(frozen=True, slots=True)
class NeuronConfig:
    """What a miner and a validator are told alike."""

    netuid: int = option(1, "the subnet's number on the chain", env=("BT_NETUID",))
    threads: int = option(0, "threads of the model's arithmetic; 0: all cores")
    subtensor: Subtensor = field(default_factory=Subtensor)
    wallet: Wallet = field(default_factory=Wallet)
    axon: Axon = field(default_factory=Axon)
    http: Http = field(default_factory=Http)
    state: State = field(default_factory=State)
    logging: Logging = field(default_factory=Logging)
    metrics: Metrics = field(default_factory=Metrics)
    wandb: Wandb = field(default_factory=Wandb)
    model: Model = field(default_factory=Model)

    def __post_init__(self) -> None:
        _in_range("netuid", self.netuid, 0, 65535)
        _in_range("threads", self.threads, 0, 1024)

    @property
    def register_command(self) -> str:
        """What to type to register this hotkey."""
        return (
            f"btcli subnets register --netuid {self.netuid} --wallet {self.wallet.name} "
            f"--hotkey {self.wallet.hotkey} --network {self.subtensor.target}"
        )


@dataclass(frozen=True, slots=True)
class MinerConfig(NeuronConfig):
    """Everything a miner can be told."""

    miner: MinerRole = field(default_factory=MinerRole)


@dataclass(frozen=True, slots=True)
class ValidatorConfig(NeuronConfig):
    """Everything a validator can be told."""

    validator: ValidatorRole = field(default_factory=ValidatorRole)


def state_folder(config: NeuronConfig, role: str) -> Path:
    """Where this neuron keeps what must last; never a temporary folder."""
    if config.state.dir:
        return Path(config.state.dir).expanduser()
    label = config.subtensor.target.replace("://", "_").replace(":", "_").replace("/", "_")
    return Path.home() / ".assay" / label / str(config.netuid) / f"{config.wallet.name}.{config.wallet.hotkey}" / role
