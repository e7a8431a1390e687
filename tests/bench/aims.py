"""What was aimed at, row by row of the README's table, and where in the figures it is seen."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.idle import FURTHER_LINE, HELD
from tests.bench.recovery import BROKER, KILLED, LIVE
from tests.bench.table import Aim, Cell
from tests.bench.throughput_node import TITLES
from tests.bench.throughput_report import BESIDE_NODE, KINDS, RATES

FASTEST = "events as fast as they go"
PACED = "live event to acknowledgement"
NODE = "GraphQL live beside Node.js"
AS_IT_COMES, NO_PAUSE, POLLED = "Socket.IO, as it comes", "Socket.IO, `ws_settle_s = 0`", "polled"
SCRIPT = "a careful script"
GRAPHQL = KINDS["graphql"]
FRAME = "live frame to acknowledgement, sync_interval"
WALK = "an unchanged walk"


def _fastest(what: str, kind: str, bar: float | None = None) -> Aim:
    line = f"{KINDS[kind]}: bridge"
    ratio = Cell(FASTEST, line, "rate / script")
    return Aim(what, Cell(FASTEST, line, "events/s"), "events/s", bar, ratio, SCRIPT, least=True, relative=True)


def _node(what: str, taker: str) -> Aim:
    value, ratio = Cell(NODE, "bridge", "events/s"), Cell(NODE, TITLES[taker], "bridge's rate / its")
    return Aim(what, value, "events/s", BESIDE_NODE[taker], ratio, "its rate", least=True, relative=True)


def _paced(rate: int) -> Aim:
    value, ratio = (Cell(PACED, f"{GRAPHQL}, {rate:,}/s", column) for column in ("p99 ms", "p99 / script"))
    return Aim(f"p99 of a live event at {rate:,}/s", value, "ms", RATES[rate], ratio, SCRIPT)


def _sessions(kind: str) -> Aim:
    where = [(HELD, f"{kind}, {count}") for count in ("500", "2,000", "5,000")]
    ratios = tuple(Cell(*one, "kB / websockets") for one in where)
    values = tuple(Cell(*one, "kB") for one in where)
    return Aim(f"an idle {kind}: of 500 · 2,000 · 5,000", values, "kB", 60.0, ratios, "`websockets`")


AT_HALF = Cell(PACED, f"{GRAPHQL}, 5,000/s", "backlog, half")
AT_END = Cell(PACED, f"{GRAPHQL}, 5,000/s", "at the end")
CATCHUP = "catch-up, sync_interval default", "bridge, first reading"
BATCHES = tuple(
    Cell("commit cost", f"{where}, 100", "ms per batch")
    for where in ("one server, default", "one server, always", "three replicas, default", "three replicas, always")
)
SYNCS = ("default", "always")

AIMS = (
    _fastest("live by GraphQL, as fast as it goes", "graphql", 0.7),
    _node("the same beside a Node.js script", "node"),
    _node("the same beside Node-RED", "node-red"),
    Aim("CPU of a live event", Cell(FASTEST, f"{GRAPHQL}: bridge", "CPU us"), "us", 45.0,
        Cell(FASTEST, f"{GRAPHQL}: bridge", "CPU / script"), SCRIPT),
    _paced(1_000),
    _paced(5_000),
    Aim("its backlog: at half · at the end", (AT_HALF, AT_END), "events", None,
        replace(AT_END, over=AT_HALF), "at half"),
    _fastest("packets by Socket.IO, as fast as they go", "packets"),
    _fastest("rows by Socket.IO", "entities"),
    _fastest("a REST walk, first reading", "rows"),
    _fastest("webhooks", "webhooks"),
    Aim("p99 of a webhook at 500/s: `default` · `always`",
        tuple(Cell(f"webhook to confirmation, sync_interval {sync}", "bridge", "p99 ms") for sync in SYNCS), "ms", 10.0,
        tuple(Cell(f"webhook to confirmation, sync_interval {sync}", "bridge", "p99 / by hand") for sync in SYNCS),
        "by hand"),
    Aim("unchanged records through the differ", Cell(WALK, WALK, "rows/s"), "/s", 150_000.0,
        Cell(WALK, WALK, "x bare loop"), "CPU of a bare loop", least=True),
    Aim("new ones into the ledger", Cell(*CATCHUP, "events/s"), "/s", 15_000.0,
        Cell(*CATCHUP, "x publish_async, our events"), "`publish_async`", least=True),
    Aim("idle daemon with five sources", Cell("idle daemon", "bridged, idle", "MB"), "MB", 60.0),
    Aim("at 1,000 events/s, NATS away for 5 s", Cell(BROKER, AS_IT_COMES, "daemon's peak MB"), "MB", 100.0),
    _sessions("GraphQL session"),
    _sessions("Socket.IO session"),
    Aim("5,000 of them idle: GraphQL · Socket.IO",
        (Cell(HELD, "GraphQL session, 5,000", "CPU %"), Cell(HELD, "Socket.IO session, 5,000", "CPU %")),
        "% of a core", 5.0),
    Aim("a further subscription on a socket", Cell(HELD, FURTHER_LINE, "kB"), "kB", 5.0),
    Aim("100,000 known entities", Cell("opening a source", "100,000", "MB"), "MB", 25.0),
    Aim("from the restart after SIGKILL to the first new event", Cell(KILLED, AS_IT_COMES, "median s"), "s", 1.5),
    Aim("the same: `ws_settle_s = 0` · polled",
        (Cell(KILLED, NO_PAUSE, "median s"), Cell(KILLED, POLLED, "median s")), "s", 1.5),
    Aim("500 sessions at five vendors open again", Cell(LIVE, "500 sources at 5", "all sessions open, s"), "s", 5.0),
    Aim("connects at one vendor meanwhile", Cell(LIVE, "500 sources at 5", "connects/s at one vendor"), "in a second"),
    Aim("NATS killed for 5 s at 1,000/s: lost · doubled",
        (Cell(BROKER, AS_IT_COMES, "lost"), Cell(BROKER, AS_IT_COMES, "doubled")), "", 0.0),
    Aim("flowing again: as it comes · `ws_settle_s = 0`",
        (Cell(BROKER, AS_IT_COMES, "first stored, s"), Cell(BROKER, NO_PAUSE, "first stored, s")), "s", 1.0),
    Aim("exec to READY, embedded NATS, warm", Cell("start to READY", "embedded, warm", "s"), "s", 1.0,
        Cell("start to READY", "embedded, warm", "x"), "Python and nats-server"),
    Aim("age of what is polled: 50 · 100 · 500 requests in 15 min",
        tuple(Cell("freshness", f"{quota}: all", "age min") for quota in (50, 100, 500)), "min", 1.5,
        tuple(Cell("freshness", f"{quota}: all", "ratio") for quota in (50, 100, 500)), "the best possible",
        relative=True),
    Aim("a batch of 100: one server, `default` · `always`; three replicas, the same", BATCHES, "ms", None,
        tuple(replace(one, over=BATCHES[0]) for one in BATCHES), "the first"),
    Aim("p50 of a live event at 100/s: `default` · `always`",
        tuple(Cell(f"{FRAME} {sync}", "bridge at 100/s", "p50 ms") for sync in SYNCS), "ms", None,
        tuple(Cell(f"{FRAME} {sync}", "bridge at 100/s", "p50 / js.publish") for sync in SYNCS), "`js.publish`"),
)  # fmt: skip
