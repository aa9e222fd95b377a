"""The one exception tree of the project.

AssayError
├── ProtocolError      a message that breaks the protocol (subnet.protocol)
├── TransportError     the network failed or refused (subnet.transport)
├── ModelError         a model is missing, altered or unsupported (subnet.models)
├── EngineError        generation or replay could not run (subnet.engine)
├── EvidenceError      a bundle or ledger does not hold (subnet.evidence)
├── ChainError         the chain refused or did not answer (subnet.chain)
├── ConfigError        a setting is missing or wrong (subnet.config)
├── StateError         the validator's stored state cannot be used (subnet.validator)
└── RewardError        a reward cannot be computed (reward)

Each package subclasses its branch where callers need to tell cases apart.
A message says what was wrong, with the value, and what to do about it.
"""


class AssayError(Exception):
    """Root of every error this project raises on purpose."""


class ProtocolError(AssayError):
    """A message breaks the protocol: wrong shape, length, range or signature."""


class TransportError(AssayError):
    """A request could not be sent, received or accepted."""


class ModelError(AssayError):
    """A model is missing, altered, or of a kind that is not supported."""


class EngineError(AssayError):
    """Generation or replay could not run. Never the miner's fault."""


class EvidenceError(AssayError):
    """A bundle or a ledger does not hold what it claims."""


class ChainError(AssayError):
    """The chain refused a call, or did not answer in time."""


class ConfigError(AssayError):
    """A setting is missing, of the wrong type, or out of range."""


class StateError(AssayError):
    """Stored state cannot be read, migrated or written."""


class RewardError(AssayError):
    """A reward cannot be computed from what was given."""
