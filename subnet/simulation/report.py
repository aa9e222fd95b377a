"""A sweep as text, as Markdown, as JSON values and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subnet.simulation.cheats import Cheat, Strategy
from subnet.simulation.sweep import Curve, Played, Sweep

BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"


def rate(curve: Curve) -> str:
    """A curve's break-even for people."""
    if math.isinf(curve.break_even):
        return "none"
    if curve.break_even == 0:
        return f"< {curve.rates[0] * 100:.2g} %"
    return f"{curve.break_even * 100:.2g} %"


def break_even_rows(sweep: Sweep, cheats: Sequence[Cheat], strategies: Sequence[Strategy]) -> list[list[str]]:
    """A row a cheat: its saving, its measured delay, and for each strategy the rate from which it doesn't pay."""
    rows = []
    for cheat in cheats:
        rates = [rate(sweep.curve(cheat.name, strategy.name)) for strategy in strategies]
        rows.append([cheat.name, f"{cheat.saving * 100:.0f} %", f"{cheat.delays.median:.0f}", *rates])
    return rows


def work_rows(sweep: Sweep) -> list[list[str]]:
    """A row a check rate: what it costs one validator, and what share of everything that miners compute."""
    return [
        [
            f"{work.rate * 100:g} %",
            f"{work.answers:.0f}",
            f"{work.machine * 100:.2g} %",
            f"{work.of_mining * 100:.2g} %",
            f"{work.false_accusations:.2g}",
        ]
        for work in sweep.work
    ]


def size_rows(sweeps: Mapping[int, Sweep], cheats: Sequence[Cheat]) -> list[list[str]]:
    """A row a cheat: the rate from which none of its strategies pays, at each number of validators."""
    return [[cheat.name, *(rate(sweep.hardest(cheat.name)) for sweep in sweeps.values())] for cheat in cheats]


def slash_rows(sweeps: Mapping[int, Sweep], cheats: Sequence[Cheat], strategy: Strategy, at: float) -> list[list[str]]:
    """A row a cheat: what it gains at one check rate, as a share of honest revenue, at each slash duration."""
    return [
        [cheat.name, *(_gain(sweep.curve(cheat.name, strategy.name), at) for sweep in sweeps.values())]
        for cheat in cheats
    ]


def _gain(curve: Curve, at: float) -> str:
    return f"{curve.gains[curve.rates.index(at)] * 100:+.0f} %"


def break_even_header(strategies: Sequence[Strategy]) -> list[str]:
    """Column names of `break_even_rows`."""
    return ["cheat", "saves", "tokens to accusation", *(strategy.name for strategy in strategies)]


WORK_HEADER = ["check rate", "answers an epoch", "of a 2-core machine", "of all mining", "honest accused, at most"]


def slash_header(sweeps: Mapping[int, Sweep]) -> list[str]:
    """Column names of `slash_rows`."""
    return ["cheat", *(f"{epochs} epochs out" for epochs in sweeps)]


def size_header(sweeps: Mapping[int, Sweep]) -> list[str]:
    """Column names of `size_rows`."""
    return ["cheat", *(f"{validators} validators" for validators in sweeps)]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def insert(document: str, text: str) -> str:
    """The document with what is between its markers replaced. Raises ValueError where it has none."""
    before, found, rest = document.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"the document has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def values(played: Played) -> dict[str, Any]:
    """Everything as JSON values."""
    main = played.main
    world = {name: getattr(main.world, name) for name in main.world.__slots__ if name != "params"}
    return {
        "world": world,
        "sufficient_rate": None if math.isinf(main.sufficient) else main.sufficient,
        "curves": _curves(main),
        "work": [{name: getattr(work, name) for name in work.__slots__} for work in main.work],
        "without_sharing": None if played.alone is None else _curves(played.alone),
        "slash_epochs": {str(epochs): _curves(sweep) for epochs, sweep in played.slashes.items()},
        "validators": {str(validators): _curves(sweep) for validators, sweep in played.sizes.items()},
    }


def _curves(sweep: Sweep) -> list[dict[str, Any]]:
    return [_curve_values(curve) for curve in sweep.curves]


def _curve_values(curve: Curve) -> dict[str, Any]:
    assert curve.miner.cheat is not None and curve.miner.strategy is not None
    return {
        "cheat": curve.miner.cheat.name,
        "strategy": curve.miner.strategy.name,
        "rates": curve.rates,
        "gains": curve.gains,
        "epochs_to_accusation": [None if math.isinf(epochs) else epochs for epochs in curve.epochs_to_accusation],
        "break_even": None if math.isinf(curve.break_even) else curve.break_even,
    }


def draw(path: Path, played: Played, cheats: Sequence[Cheat], strategies: Sequence[Strategy]) -> None:
    """Writes the picture: what each cheat gains by check rate, a panel a strategy, and what checking costs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sweep = played.main
    panels = len(strategies) + 1 + bool(played.sizes)
    rows = math.ceil(panels / 2)
    figure, axes = pyplot.subplots(rows, 2, figsize=(13, 4.3 * rows), layout="constrained", squeeze=False)
    flat = list(axes.flat)
    colours = pyplot.get_cmap("tab10").colors  # type: ignore[attr-defined]
    for axis, strategy in zip(flat, strategies, strict=False):
        _draw_gains(axis, sweep, cheats, strategy, colours)
    flat[0].legend(fontsize=8, ncols=2, loc="upper right")
    _draw_work(flat[len(strategies)], sweep)
    if played.sizes:
        _draw_sizes(flat[len(strategies) + 1], played.sizes, cheats, colours)
    for axis in flat[panels:]:
        axis.remove()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw_gains(axis: Any, sweep: Sweep, cheats: Sequence[Cheat], strategy: Strategy, colours: Sequence[Any]) -> None:
    for index, cheat in enumerate(cheats):
        curve = sweep.curve(cheat.name, strategy.name)
        gains = [gain * 100 for gain in curve.gains]
        axis.plot(curve.rates, gains, marker="o", ms=3, lw=1.4, color=colours[index % 10], label=cheat.name)
    axis.axhline(0, color="black", lw=1)
    axis.set(xscale="log", xlabel="check rate", ylabel="gain over honesty, % of honest revenue", title=strategy.name)
    axis.grid(alpha=0.25)


def _draw_work(axis: Any, sweep: Sweep) -> None:
    rates = [work.rate for work in sweep.work]
    axis.plot(rates, [work.machine * 100 for work in sweep.work], marker="o", ms=3, label="of one 2-core machine")
    axis.plot(
        rates, [work.of_mining * 100 for work in sweep.work], marker="s", ms=3, label="of what all miners compute"
    )
    axis.set(
        xscale="log", yscale="log", xlabel="check rate", ylabel="%", title="a validator's, and all validators', replay"
    )
    axis.legend(fontsize=8)
    axis.grid(alpha=0.25)


def _draw_sizes(axis: Any, sizes: Mapping[int, Sweep], cheats: Sequence[Cheat], colours: Sequence[Any]) -> None:
    for index, cheat in enumerate(cheats):
        known = [(validators, sweep.hardest(cheat.name).break_even) for validators, sweep in sizes.items()]
        points = [(validators, rate * 100) for validators, rate in known if 0 < rate < math.inf]
        if points:
            axis.plot(*zip(*points, strict=True), marker="o", ms=3, lw=1.4, color=colours[index % 10])
    axis.set(xscale="log", yscale="log", xlabel="validators that share evidence", ylabel="check rate, %")
    axis.set_xticks(list(sizes), labels=[str(validators) for validators in sizes])
    axis.minorticks_off()
    axis.set_title("rate from which no strategy pays")
    axis.grid(alpha=0.25)
