import re
from pathlib import Path

from rich.console import Console

from subnet.localnet.outcome import judge
from subnet.localnet.table import live_table, report
from tests.localnet.test_outcome import GOOD, HOTKEYS, INCENTIVES, PLAN

UIDS = {HOTKEYS["miner-1"]: 2, HOTKEYS["miner-2"]: 3}


def printed(renderable: object) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable, soft_wrap=True)
    return console.export_text()


def test_the_live_table_shows_who_is_what_and_the_evidence() -> None:
    text = printed(live_table(PLAN, HOTKEYS, UIDS, list(GOOD.values()), "block 9"))
    assert "block 9" in text and "honest" in text
    assert "9.5/9" in text and "inconsistent, out" in text


def test_a_miner_that_nobody_has_seen_yet_still_has_a_row() -> None:
    text = printed(live_table(PLAN, HOTKEYS, UIDS, [], "starting"))
    assert re.search(r"\b3\b.*int4.*no round yet", text)
    assert "int4" in printed(live_table(PLAN, HOTKEYS, {}, [], "starting")), "not even registered"


def test_the_report_tells_who_was_caught_and_how_to_verify_it() -> None:
    text = printed(report(judge(PLAN, HOTKEYS, GOOD, INCENTIVES, {}), Path("run")))
    assert "miner-2 (uid 3, int4) was caught by validator-1 after 40 checked tokens" in text
    assert "subnet.evidence verify run/evidence/ab12.bundle" in text
    assert "Every cheat has zero incentive" in text


def test_the_report_says_what_was_not_kept() -> None:
    text = printed(report(judge(PLAN, HOTKEYS, GOOD, {}, {}), Path("run")))
    assert "NOT KEPT: miner-1 is honest and has no incentive" in text
