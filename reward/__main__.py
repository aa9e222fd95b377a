"""Score a completion and show the reasons: `python -m reward --prompt ... --completion ...`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reward.explain import explain_score
from reward.model import Conversation
from subnet.errors import AssayError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(prog="python -m reward", description=__doc__)
    parse.add_argument("--prompt", required=True, help="the question; @file reads it from a file")
    parse.add_argument("--completion", required=True, help="the answer to score; @file reads it from a file")
    parse.add_argument("--system", help="a system message in front of the prompt")
    parse.add_argument("--reward", default="default", help="default, handmade, hf:<manifest.json> or mix:a=0.7,b=0.3")
    parse.add_argument("--cache", type=Path, help="folder for converted models, if not the user's cache folder")
    parse.add_argument("--threads", type=int, default=None, help="threads that torch may use")
    parse.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parse


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with the reason on standard error."""
    options = parser().parse_args(arguments)
    try:
        from reward.loading import load_reward
        from subnet.models import load_model, load_tokenizer

        model = load_model(cache=options.cache, threads=options.threads)
        reward = load_reward(options.reward, model, load_tokenizer(cache=options.cache), cache=options.cache)
        prompt = Conversation.of(_text(options.prompt), options.system)
        score = reward.score([prompt], [_text(options.completion)])[0]
    except (AssayError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if options.json:
        parts = {part.name: part.value for part in score.components}
        sys.stdout.write(json.dumps({"reward": score.value, "components": parts, "identity": reward.identity}) + "\n")
    else:
        sys.stdout.write(f"{explain_score(score)}\nreward model {reward.name}, {reward.identity[:16]}\n")
    return 0


def _text(argument: str) -> str:
    return Path(argument[1:]).read_text(encoding="utf-8") if argument.startswith("@") else argument


if __name__ == "__main__":
    raise SystemExit(main())
