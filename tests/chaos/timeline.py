"""The picture of a run as SVG: faults in their lanes, events per second, how each source was. Coloured by its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

LEFT: Final = 90.0
WIDTH: Final = 1200.0
ROW: Final = 22.0
CURVE: Final = 90.0
TICKS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
HUES: Final = (4, 28, 46, 84, 146, 176, 204, 232, 262, 292, 324)
STATES: Final[Mapping[str, str]] = {
    "live": "var(--good)",
    "standby": "var(--faint)",
    "": "transparent",
    "blocked": "var(--bad)",
    "waiting": "hsl(35 80% 50%)",
    "away": "hsl(12 75% 52%)",
}
OTHER: Final = "hsl(200 45% 55%)"
"""On its way to being live: opening, reading."""


def timeline(report: Mapping[str, Any]) -> str:
    """One `<svg>`; each bar tells what it is when it is pointed at."""
    first = min([0.0, *(moves[0][0] for moves in report["states"].values() if moves)])
    last = max(report["ended_s"], first + 1)
    axis = _Axis(first, last)
    lanes = list(dict.fromkeys(blow["lane"] for blow in sorted(report["struck"], key=lambda blow: blow["begin_s"])))
    kinds = sorted({blow["kind"] for blow in report["struck"]})
    hue = {kind: HUES[number % len(HUES)] for number, kind in enumerate(kinds)}
    parts: list[str] = []
    top = 8.0
    for lane in sorted(lanes, key=list(report["schedule"]).index):
        blows = [blow for blow in report["struck"] if blow["lane"] == lane]
        parts += [_label(lane, top), *_blows(blows, axis, top, hue)]
        top += ROW
    top += 12
    parts += [_label("events/s", top), *_curve(report["events_per_s"], axis, top)]
    top += CURVE + 12
    for source, moves in report["states"].items():
        parts += [_label(source, top), *_strip(source, moves, axis, top)]
        top += ROW
    parts += list(_ticks(axis, top, report["healed_s"]))
    height = top + 28
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        'aria-label="faults, events per second and states of sources over time" font-size="11" fill="currentColor">'
    )
    return "\n".join([head, *parts, "</svg>"])


class _Axis:
    def __init__(self, first_s: float, last_s: float) -> None:
        self.first_s, self.last_s = first_s, last_s

    def x(self, at_s: float) -> float:
        share = (min(max(at_s, self.first_s), self.last_s) - self.first_s) / (self.last_s - self.first_s)
        return round(LEFT + share * (WIDTH - LEFT - 8), 1)


def _label(text: str, top: float) -> str:
    return f'<text x="{LEFT - 8}" y="{top + 14:.0f}" text-anchor="end">{escape(text)}</text>'


def _bar(begin: float, end: float, top: float, fill: str, title: str) -> str:
    return (
        f'<rect x="{begin}" y="{top:.0f}" width="{max(1.5, end - begin):.1f}" height="{ROW - 6:.0f}" rx="2" '
        f'fill="{fill}"><title>{escape(title)}</title></rect>'
    )


def _back(top: float, height: float) -> str:
    return f'<rect x="{LEFT}" y="{top:.0f}" width="{WIDTH - LEFT - 8}" height="{height:.0f}" fill="var(--lane)"/>'


def _blows(blows: Sequence[Mapping[str, Any]], axis: _Axis, top: float, hue: Mapping[str, int]) -> Iterator[str]:
    yield _back(top, ROW - 6)
    for blow in blows:
        begin, end = axis.x(blow["begin_s"]), axis.x(blow["end_s"])
        lasted = blow["end_s"] - blow["begin_s"]
        title = f"{blow['kind']} {blow['target']}, at {blow['begin_s']:.1f} s for {lasted:.1f} s"
        yield _bar(begin, end, top, f"hsl({hue[blow['kind']]} 60% 52%)", title)
        if end - begin > 6 * len(blow["kind"]):
            yield f'<text x="{begin + 3}" y="{top + 12:.0f}" fill="#fff" font-size="10">{escape(blow["kind"])}</text>'


def _curve(per_second: Sequence[Sequence[int]], axis: _Axis, top: float) -> Iterator[str]:
    yield _back(top, CURVE)
    inside = [(second, count) for second, count in per_second if axis.first_s <= second <= axis.last_s]
    # The first reading of everything would dwarf what is to be seen.
    most = max([1, *(count for second, count in inside if second >= 0)])
    for second, count in inside:
        height = min(1.0, count / most) * (CURVE - 4)
        begin, end = axis.x(second), axis.x(second + 1)
        yield (
            f'<rect x="{begin}" y="{top + CURVE - height:.1f}" width="{max(0.6, end - begin):.1f}" '
            f'height="{height:.1f}" fill="var(--bar)"><title>{count} events in second {second}</title></rect>'
        )
    yield f'<text x="{LEFT + 4}" y="{top + 12:.0f}" fill="var(--dim)">{most}</text>'


def _strip(source: str, moves: Sequence[Sequence[Any]], axis: _Axis, top: float) -> Iterator[str]:
    yield _back(top, ROW - 6)
    ends = [*(at_s for at_s, _ in moves[1:]), axis.last_s]
    for (at_s, state), end_s in zip(moves, ends, strict=True):
        fill = STATES.get(state, OTHER)
        if end_s > at_s and fill != "transparent":
            title = f"{source}: {state} from {at_s:.1f} s to {end_s:.1f} s"
            yield _bar(axis.x(at_s), axis.x(end_s), top, fill, title)


def _ticks(axis: _Axis, bottom: float, healed_s: float) -> Iterator[str]:
    length_s = axis.last_s - axis.first_s
    step = next((tick for tick in TICKS if length_s / tick <= 20), TICKS[-1])
    for at_s in range(0, int(axis.last_s) + 1, step):
        x = axis.x(at_s)
        yield f'<line x1="{x}" y1="0" x2="{x}" y2="{bottom:.0f}" stroke="var(--dim)" stroke-opacity=".18"/>'
        yield f'<text x="{x}" y="{bottom + 14:.0f}" text-anchor="middle" fill="var(--dim)">{at_s} s</text>'
    x = axis.x(healed_s)
    yield f'<line x1="{x}" y1="0" x2="{x}" y2="{bottom:.0f}" stroke="var(--good)" stroke-dasharray="4 3"/>'
    yield f'<text x="{x}" y="{bottom + 26:.0f}" text-anchor="middle" fill="var(--good)">the faults are over</text>'
