"""What every test needs: no model hub, few threads, and scratch folders in place of the user's own."""

import os
import tempfile

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")

_scratch = tempfile.mkdtemp(prefix="assay-tests-")
for _variable in (
    "BITTENSOR_RUNTIME_CACHE_DIR",
    "BTCLI_ADDRESSES_PATH",
    "BTCLI_CONFIG",
    "BTCLI_MULTISIGS_PATH",
    "BTCLI_MULTISIG_CACHE",
    "BTCLI_PROXIES_PATH",
    "BTCLI_SUBNET_NAMES_CACHE",
    "BTCLI_TOKEN_SYMBOLS_CACHE",
):
    os.environ.setdefault(_variable, os.path.join(_scratch, _variable.lower()))

# A property doesn't fail because the machine is busy.
settings.register_profile("assay", deadline=None)
settings.load_profile("assay")
