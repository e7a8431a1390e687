"""A class whose methods are compiled late is in every way the class it would have been."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import KW_ONLY, FrozenInstanceError, InitVar, dataclass, field
from typing import Any

import pytest

from bridge.edge import methods

NAMES = ("__init__", "__repr__", "__eq__", "__hash__", "__lt__", "__setattr__", "__delattr__")


@pytest.fixture(autouse=True)
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made in these tests is made so."""
    monkeypatch.setattr(dataclasses, "exec", methods._execute, raising=False)


def waiting(cls: type) -> set[str]:
    """The methods of a class that are not compiled yet."""
    return {name for name in NAMES if getattr(vars(cls).get(name), "__module__", "") == methods.__name__}


def frozen(**options: Any) -> type[Any]:
    @dataclass(frozen=True, slots=True, order=True, **options)
    class Point:
        """One."""

        x: int
        y: list[int] = field(default_factory=list, compare=False)
        _: KW_ONLY
        z: int = 3

    return Point


def test_a_method_is_compiled_when_it_is_called_and_no_other_with_it() -> None:
    """Making a class compiles nothing, and making an object of it no more than what that takes."""
    cls = frozen()
    assert waiting(cls) >= {"__init__", "__eq__", "__hash__", "__lt__", "__setattr__", "__delattr__"}
    one = cls(1)
    assert "__init__" not in waiting(cls)
    assert waiting(cls) >= {"__eq__", "__hash__", "__lt__", "__setattr__", "__delattr__"}
    assert one == cls(1)
    assert hash(one) == hash(cls(1))
    assert "__eq__" not in waiting(cls)
    assert "__hash__" not in waiting(cls)
    assert cls.__init__.__qualname__ == f"{cls.__qualname__}.__init__"
    assert list(inspect.signature(cls).parameters) == ["x", "y", "z"]


@pytest.mark.parametrize("round_", ["first", "second"])
def test_it_does_what_an_ordinary_one_does(round_: str) -> None:
    """Made, shown, compared, ordered, hashed, copied, replaced and taken apart: all as ever, and as ever again."""
    cls = frozen()
    if round_ == "second":
        assert (cls(1) < cls(2), cls(1) == cls(2), hash(cls(1)) == hash(cls(1)), repr(cls(1)) == "") == (1, 0, 1, 0)
    one, two = cls(1, [5]), cls(2, z=9)
    assert repr(one).endswith("Point(x=1, y=[5], z=3)")
    assert (one == cls(1, [6]), one != two, one == "x", one < two, sorted([two, one])) == (
        True, True, False, True, [one, two],
    )  # fmt: skip
    assert {one, cls(1)} == {cls(1)}
    assert dataclasses.replace(one, x=2, z=9) == two
    assert copy.deepcopy(one).y == [5]
    assert dataclasses.asdict(two) == {"x": 2, "y": [], "z": 9}
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError, match="x"):
        one.x = 2
    with pytest.raises(FrozenInstanceError, match="x"):
        del one.x
    with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'x'"):
        cls()
    with pytest.raises(TypeError, match="unexpected keyword"):
        cls(1, w=2)


def test_what_is_inherited_is_compiled_where_it_is_defined() -> None:
    """Parents and children each have their own, `__post_init__` is called, a cycle is shown, and super() is found."""

    @dataclass
    class Parent:
        a: int
        b: InitVar[int]
        seen: list[Any] = field(default_factory=list)

        def __post_init__(self, b: int) -> None:
            self.seen.append(b)

    class Between(Parent):
        def __init__(self, a: int) -> None:
            super().__init__(a, 7)

    @dataclass
    class Child(Parent):
        c: int = 0

    @dataclass(eq=False)
    class Silent(Parent):
        pass

    between, child = Between(1), Child(1, 2, c=3)
    between.seen.append(between)
    assert (between.a, between.seen[0], child.c, child.seen) == (1, 7, 3, [2])
    assert repr(between).endswith("Between(a=1, seen=[7, ...])")
    assert child != Parent(1, 2)
    assert Silent(1, 2) == Silent(1, 2)
    assert waiting(Parent).isdisjoint({"__init__", "__eq__"})
    assert Parent.__hash__ is None


@dataclass(frozen=True, slots=True)
class Sent:
    """Found by its name."""

    x: int


def test_it_crosses_to_another_process() -> None:
    """Pickled and taken back, where nobody has made one before."""
    bare: type[Any] = type("Sent", (), {"__annotations__": {"x": int}, "__module__": __name__})
    late: Any = dataclass(frozen=True, slots=True)(bare)
    globals()["Sent"] = late
    assert pickle.loads(pickle.dumps(late(4))) == late(4)


def test_a_text_it_does_not_know_is_compiled_at_once() -> None:
    """Another version of the library may write what it likes."""
    made: dict[str, Any] = {}
    methods._execute("def __create_fn__():\n return {}.get", {}, made)
    assert made["__create_fn__"]()("x") is None
    methods._execute("answer = 6 * 7", {}, made)
    assert made["answer"] == 42


def test_several_methods_of_one_text_are_told_apart() -> None:
    """As Python 3.13 writes them: all of a class at once."""
    text = "def __create_fn__(by):\n def __init__(self, a):\n  self.a=a*by\n def __repr__(self):\n  return f'{self.a}'"
    made: dict[str, Any] = {}
    methods._execute(f"{text}\n return (__init__,__repr__,)", {}, made)
    init, show = made["__create_fn__"](by=2)
    assert (init.__module__, init.__name__, show.__name__) == (methods.__name__, "__init__", "__repr__")
    cls = type("Late", (), {"__init__": init, "__repr__": show})
    assert [repr(cls(2)), repr(cls(3))] == ["4", "6"]
    assert waiting(cls) == set()
