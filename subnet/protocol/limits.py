"""Every limit of the protocol, and what breaks when one is changed.

A limit marked *digest* is part of what peers hash: two sides that disagree about it compute different digests and
reject each other's signatures. A limit marked *reject* only decides what is turned away: raising it is safe for the
side that raises it, lowering it makes that side refuse messages which others may honestly send.
"""

from typing import Final

PROTOCOL_VERSION: Final = 1
"""*digest*. Enters every digest and the request path. Raise it when canonical bytes change; keep the old vectors."""

SUPPORTED_VERSIONS: Final = (1,)
"""*reject*. What this build speaks. Dropping a version cuts off every peer that speaks nothing newer."""

TOKENS_PER_LEAF: Final = 64
"""*digest*. Token ids in one Merkle leaf. Another value changes every token root, and with it every request digest,
seed and signature. A small one costs: one id a leaf takes longer than all signatures of a long request together."""

MAX_INTEGER: Final = 2**53 - 1
"""*reject*. Largest integer on the wire. JSON numbers above it are rounded silently by JavaScript and others, so a
miner in such a language would hash another value than the validator signed."""

MAX_TOKEN_ID: Final = 2**32 - 1
"""*digest*. A token id is four bytes in a leaf."""

MAX_PROMPT_TOKENS: Final = 131_072
"""*reject*. Prompt length. Above it, a prompt no longer fits MAX_BODY_BYTES in every tokenizer."""

MAX_COMPLETION_TOKENS: Final = 16_384
"""*reject*. Largest max_tokens. A longer completion no longer fits MAX_RESPONSE_BYTES with its text."""

MAX_TEXT_BYTES: Final = 262_144
"""*reject*. UTF-8 bytes of a completion's text. Below 16 bytes a token honest completions could be refused."""

MAX_TEMPERATURE_MILLI: Final = 10_000
"""*reject*. Temperature 10.0. Above it, sampling is nearly uniform and the noise term leaves the range in which it was
calibrated."""

MAX_MIN_P_PPM: Final = 1_000_000
"""*reject*. min_p of 1.0, which is greedy. Larger values have no meaning."""

MAX_EXTENSIONS: Final = 16
"""*reject*. Entries of an extension map."""

MAX_EXTENSION_KEY_BYTES: Final = 64
"""*reject*. Bytes of an extension's name."""

MAX_EXTENSION_VALUE_BYTES: Final = 4_096
"""*reject*. Bytes of an extension's value."""

MIN_SECRETS: Final = 2
"""*reject*. Smallest secrets tree. With one secret there is no tree, and an epoch would end at each request."""

MAX_SECRETS: Final = 65_536
"""*reject*. Largest secrets tree. A larger one costs the miner over 150 ms per validator and epoch."""

MAX_SECRET_PATH: Final = 16
"""*reject*. log2 of MAX_SECRETS; they change together."""

MAX_BEACON_AGE_BLOCKS: Final = 32
"""*reject*. How old a request's beacon block may be. Larger lets a validator prepare requests longer ahead; smaller
refuses validators whose chain endpoint lags."""

MAX_BODY_BYTES: Final = 1_048_576
"""*reject*. Body of any request on the wire. It is held in memory before it is authenticated: memory at risk is this
times the number of open connections."""

MAX_RESPONSE_BYTES: Final = 2_097_152
"""*reject*. Body of any response on the wire, streamed or not."""

MAX_STREAM_LINE_BYTES: Final = 1_048_576
"""*reject*. One line of a streamed response. The signed trailer is one line."""

MAX_JSON_DEPTH: Final = 8
"""*reject*. Nesting of any message. No message of version 1 nests deeper than four."""

MAX_MODELS: Final = 64
"""*reject*. Models in one capabilities message."""

MAX_VERSIONS: Final = 16
"""*reject*. Protocol versions in one message."""

MAX_REASONS: Final = 64
"""*reject*. Reason codes in one standing message."""

MAX_LABEL_BYTES: Final = 64
"""*reject*. Bytes of a reason code, a model's name or a software's name."""

MAX_DETAIL_BYTES: Final = 512
"""*reject*. Bytes of an error's explanation. It is shown to operators and never interpreted."""

MAX_RETRY_AFTER_MS: Final = 3_600_000
"""*reject*. Longest wait that an error may ask for. Without it a miner could ask never to be called again."""
