"""A run as one page that needs nothing else: what it came to, and a picture of it. Readable in light and in dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from tests.chaos.timeline import timeline

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #e3e6ea; --dim: #5a6470;
  --good: #1a7f4b; --bad: #c02636; --bar: #2f6fb3; --lane: #f4f5f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #14171a; --faint: #343b43; --dim: #9aa5b1;
  --good: #4cc38a; --bad: #ff6b78; --bar: #6aa9ea; --lane: #1d2126; } }
body { margin: 2rem auto; max-width: 80rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; } svg { display: block; min-width: 60rem; width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--faint); text-align: right; white-space: nowrap; }
th { color: var(--dim); font-weight: 600; } .text { text-align: left; }
.good { color: var(--good); } .bad { color: var(--bad); } code { font-size: .9em; }
ul { padding-left: 1.2rem; } li { margin: .15rem 0; }
"""


def page(report: Mapping[str, Any]) -> str:
    """HTML with everything inline, from what `report.as_json` says."""
    title = f"Chaos: seed {report['seed']}, {report['seconds'] / 60:g} minutes, {_brokers(report['replicas'])}"
    verdict = "every property holds" if report["faithful"] else "a property fails"
    machine = report["machine"]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="{"good" if report["faithful"] else "bad"}"><strong>{verdict}</strong></p>',
            f"<p>{machine['processors']} processors ({escape(machine['processor'])}), "
            f"{escape(machine['system'])}, Python {escape(machine['python'])}. "
            f"To repeat it: <code>{escape(report['repeat'])}</code></p>",
            "<h2>Properties</h2><ul>",
            *(_property(name, it) for name, it in report["properties"].items()),
            '</ul><h2>What happened when</h2><div class="wide">',
            timeline(report),
            "</div><h2>Sources</h2>",
            _table(report["sources"], ("source",)),
            "<h2>Faults, by what they did</h2>",
            _table(report["faults"], ("lane", "kind", "of")),
            "</body></html>\n",
        ]
    )


def _brokers(replicas: int) -> str:
    return "one broker" if replicas == 1 else f"{replicas} replicas"


def _property(name: str, it: Mapping[str, Any]) -> str:
    mark = '<span class="good">holds</span>' if it["holds"] else '<strong class="bad">fails</strong>'
    problems = "".join(f"<li><code>{escape(problem)}</code></li>" for problem in it["problems"][:30])
    return f"<li>{mark}: {escape(name)}{f'<ul>{problems}</ul>' if problems else ''}</li>"


def _table(rows: Sequence[Mapping[str, Any]], text: Sequence[str]) -> str:
    def cell(tag: str, name: str, value: object) -> str:
        kind = ' class="text"' if name in text else ""
        return f"<{tag}{kind}>{escape('–' if value is None else str(value))}</{tag}>"

    head = "".join(cell("th", name, name) for name in rows[0])
    body = "".join(f"<tr>{''.join(cell('td', name, value) for name, value in row.items())}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
