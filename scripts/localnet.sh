#!/usr/bin/env bash
# A whole subnet on this machine, cheats included. Sets everything up on the first run; see --help for the options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/setup.sh
exec python -m subnet.localnet "$@"
