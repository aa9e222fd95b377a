#!/usr/bin/env bash
# Sets everything up and passes the tests: lint, types, then pytest.
#   ./scripts/test.sh            what CI runs (under 20 minutes on 2 cores)
#   ./scripts/test.sh --all      also the tests marked slow
#   ./scripts/test.sh tests/protocol -k merkle    any pytest arguments
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh

export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
marker=(-m "not slow")
if [ "${1:-}" = "--all" ]; then marker=(); shift; fi

ruff check .
mypy
exec python -m pytest "${marker[@]}" "$@"
