"""Takes the picture of the status page that the README shows, from a page that is running.

    python scripts/screenshot.py http://127.0.0.1:8092/ [--output docs/images/status.png] [--dark] [--width 1200]

Needs Chromium (apt-get install -y chromium).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.chromium import chromium  # noqa: E402
from subnet.errors import AssayError  # noqa: E402


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the running status page")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "status.png")
    parser.add_argument("--dark", action="store_true", help="take the dark version")
    parser.add_argument("--width", type=int, default=1200, help="viewport width in CSS pixels (default: 1200)")
    options = parser.parse_args()
    try:
        with chromium() as tab:
            tab.open(options.url, options.width, 800, options.dark)
            tab.wait_for("document.documentElement.dataset.ready === 'yes'")
            tab.screenshot(options.output)
    except AssayError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{options.output}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
