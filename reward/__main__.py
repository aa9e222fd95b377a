"""Score completions and show the reasons.

python -m reward --prompt "Why is the sky blue?" --completion "Because air scatters blue light most."
python -m reward --batch pairs.jsonl        a line {"prompt": ..., "completion": ...} for each; JSON lines out
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from reward.explain import explain_score
from reward.model import Conversation
from subnet.errors import AssayError, RewardError


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parse = argparse.ArgumentParser(
        prog="python -m reward", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parse.add_argument("--prompt", help="the question; @file reads it from a file")
    parse.add_argument("--completion", help="the answer to score; @file reads it from a file")
    parse.add_argument("--system", help="a system message in front of the prompt")
    parse.add_argument("--batch", type=Path, help="a file of JSON lines with prompt and completion, and system if any")
    parse.add_argument("--reward", default="default", help="default, handmade, hf:<manifest.json> or mix:a=0.7,b=0.3")
    parse.add_argument("--cache", type=Path, help="folder for converted models, if not the user's cache folder")
    parse.add_argument("--threads", type=int, default=None, help="threads that torch may use")
    parse.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parse


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0, or 2 with the reason on standard error."""
    parse = parser()
    options = parse.parse_args(arguments)
    if (options.batch is None) == (options.prompt is None or options.completion is None):
        parse.error("give --prompt and --completion, or --batch")
    try:
        pairs = _pairs(options)
        from reward.loading import load_reward
        from subnet.models import load_model, load_tokenizer

        model = load_model(cache=options.cache, threads=options.threads)
        reward = load_reward(options.reward, model, load_tokenizer(cache=options.cache), cache=options.cache)
        scores = reward.score([prompt for prompt, _ in pairs], [completion for _, completion in pairs])
    except (AssayError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for score in scores:
        if options.json or options.batch:
            parts = {part.name: part.value for part in score.components}
            row = {"reward": score.value, "components": parts, "identity": reward.identity}
            sys.stdout.write(json.dumps(row) + "\n")
        else:
            sys.stdout.write(f"{explain_score(score)}\nreward model {reward.name}, {reward.identity[:16]}\n")
    return 0


def _pairs(options: argparse.Namespace) -> list[tuple[Conversation, str]]:
    if options.batch is None:
        return [(Conversation.of(_text(options.prompt), options.system), _text(options.completion))]
    try:
        rows = [json.loads(line) for line in options.batch.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [(Conversation.of(row["prompt"], row.get("system")), str(row["completion"])) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RewardError(
            f"{options.batch}: each line must be an object with prompt and completion ({error})"
        ) from error


def _text(argument: str) -> str:
    return Path(argument[1:]).read_text(encoding="utf-8") if argument.startswith("@") else argument


if __name__ == "__main__":
    raise SystemExit(main())
