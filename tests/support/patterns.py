"""Every regular expression of the product, and texts made to be hard for each of them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]  # only the parser knows what a pattern is made of
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

ROOT = Path(__file__).parent.parent.parent
MODULES = sorted([*ROOT.glob("bridge/**/*.py"), *ROOT.glob("adapters/**/*.py")])
CALLS = frozenset({"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
ANCHORED = frozenset({"match", "fullmatch"})


@dataclass(frozen=True, slots=True)
class Found:
    """`module` and `line` of the source. `ways`: by which of its methods the product has it tried."""

    module: str
    line: int
    pattern: re.Pattern[Any]
    ways: frozenset[str]

    def ask(self, text: Any) -> None:
        """Have it tried as the product does."""
        if not self.ways <= ANCHORED:
            for _ in self.pattern.finditer(text):
                pass
        if "fullmatch" in self.ways:
            self.pattern.fullmatch(text)
        if "match" in self.ways:
            self.pattern.match(text)


def patterns() -> Iterator[Found]:
    """All of them: those compiled under a name, and those spelled where they are used."""
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text("utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        if not any(_is_re(call.func) for call in calls):
            continue
        names = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _is_re(node.value.func)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        used: dict[str, set[str]] = {}
        for call in calls:
            assert isinstance(call.func, ast.Attribute)
            if isinstance(call.func.value, ast.Name) and call.func.attr in CALLS:
                used.setdefault(call.func.value.id, set()).add(call.func.attr)
        space = vars(importlib.import_module(name))
        for call in calls:
            assert isinstance(call.func, ast.Attribute)
            if not _is_re(call.func) or call.func.attr == "escape":
                continue
            how = {call.func.attr}
            if call.func.attr == "compile":
                own = next((one for one, value in names.items() if value is call), None)
                # Without a use in its own module it is used by others, nobody knows how.
                how = used.get(own or "", {"search"})
            try:
                made = eval(compile(ast.Expression(_compiling(call)), str(path), "eval"), space)
            except NameError:
                continue  # Made of what is known only while it runs: of names and secrets, each escaped.
            yield Found(name, call.lineno, made, frozenset(how))


def _compiling(call: ast.Call) -> ast.Call:
    flags = [word for word in call.keywords if word.arg == "flags"]
    assert isinstance(call.func, ast.Attribute)
    args = call.args if call.func.attr == "compile" else call.args[:1]
    fresh = ast.Call(ast.Attribute(ast.Name("re", ast.Load()), "compile", ast.Load()), args, flags)
    return ast.fix_missing_locations(ast.copy_location(fresh, call))


def _is_re(func: ast.expr) -> bool:
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "re"


def hostile(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], Any]]:
    """Texts of any length, each made to have the pattern try and fail: what it repeats, many times, then nonsense."""
    lead: list[str] = [""]
    pumps: list[tuple[str, str]] = []
    _walk(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG), lead, pumps)
    whole = _one(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    for prefix, pump in {*pumps, ("", whole), ("", whole[:-1]), ("", lead[0][:1])}:
        if not pump:
            continue
        for last in ("", "\x00"):

            def text(size: int, prefix: str = prefix, pump: str = pump, last: str = last) -> Any:
                made = prefix + pump * max(1, (size - len(prefix)) // len(pump)) + last
                return made.encode("utf-8", "replace") if isinstance(pattern.pattern, bytes) else made

            yield text


def _walk(tree: Any, lead: list[str], pumps: list[tuple[str, str]]) -> None:
    """Note for each repetition what comes before it and what it repeats."""
    for op, value in tree:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, most, inner = value
            if most > 20:
                once = _one(inner)
                pumps.append((lead[0], once))
                # The beginning again and again: where each place may begin, and none ends.
                pumps.append(("", lead[0] + once))
                pumps.append(("", lead[0] + once * 6))
            _walk(inner, [lead[0]], pumps)
            lead[0] += _one([(op, value)])
        elif op is sre.SUBPATTERN:
            _walk(value[3], lead, pumps)
        elif op is sre.BRANCH:
            for branch in value[1]:
                _walk(branch, [lead[0]], pumps)
            lead[0] += _one([(op, value)])
        else:
            lead[0] += _one([(op, value)])


def _one(tree: Any) -> str:
    """A text that the tree takes, or nearly."""
    return "".join(_spelled(op, value) for op, value in tree)


def _spelled(op: Any, value: Any) -> str:
    if op is sre.LITERAL:
        return chr(value)
    if op is sre.NOT_LITERAL:
        return "b" if value == ord("a") else "a"
    if op is sre.ANY:
        return "a"
    if op is sre.IN:
        return _member(value)
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        return _one(value[2]) * int(max(value[0], 1))
    if op is sre.SUBPATTERN:
        return _one(value[3])
    if op is sre.ATOMIC_GROUP:
        return _one(value)
    if op is sre.BRANCH:
        return _one(value[1][0])
    return ""


def _member(items: Any) -> str:
    if items[0][0] is sre.NEGATE:
        for char in "a b0-\n~é":
            if not re.match(_class(items), char):
                continue
            return char
        return "a"
    kind, value = items[0]
    if kind is sre.LITERAL:
        return chr(value)
    if kind is sre.RANGE:
        return chr(value[0])
    return " " if value is sre.CATEGORY_SPACE else "0" if value is sre.CATEGORY_DIGIT else "a"


def _class(items: Any) -> str:
    spelled = ""
    for kind, value in items[1:]:
        if kind is sre.LITERAL:
            spelled += re.escape(chr(value))
        elif kind is sre.RANGE:
            spelled += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif kind is sre.CATEGORY:
            spelled += {sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_WORD: r"\w"}.get(value, "")
    return f"[^{spelled}]"
