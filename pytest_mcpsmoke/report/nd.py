"""What came of an nd_real test, and how it is told. Fields as in the report contract, type `nd`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from pytest_mcpsmoke.report.text import plural

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

_LONGEST: Final = 120  # characters of a path of tools
_MOST_CLUSTERS: Final = 5
_MOST_SAMPLES: Final = 8  # of one cluster that are told by their numbers
_COLUMNS: Final = (
    *("verdict", "passed", "rate", "bounds", "needs", "replaced"),
    *("p50", "p95", "calls", "tokens", "cost", "test"),
)


class Cluster(NamedTuple):
    """Samples that failed alike: the first one's message, the tools that the model called, their numbers."""

    message: str  # bounded, one line, redacted, as the names of the tools
    tools: tuple[str, ...]
    samples: tuple[int, ...]

    @property
    def path(self) -> str:
        """The tools as a line, `search > fetch`; empty where none was called."""
        path = " > ".join(self.tools)
        return path if len(path) <= _LONGEST else path[: _LONGEST - 1] + "…"


class Change(NamedTuple):
    """The run before: its result, and the p-value of the two-proportion test between both."""

    passes: int
    samples: int
    p_value: float
    when: str  # "2026-11-28 09:30 UTC"
    model: str | None


class NdResult(NamedTuple):
    """The verdict on one nd_real test, and what it rests on.

    rate, lower, upper: shares from 0 to 1; the bounds are one-sided, each at `confidence`. Seconds, tokens
    and money are over all samples that were run, replaced ones included; the latencies are those of the
    samples that count. None: not known, or not asked of the model.
    """

    nodeid: str
    verdict: Verdict
    passes: int
    samples: int  # that count
    planned: int
    replaced: int
    rate: float | None
    lower: float
    upper: float
    confidence: float
    min_pass_rate: float
    method: str
    reason: str | None  # why it is not PASS
    decides_at: int | None  # how many samples would decide at this rate
    latency_p50_s: float | None
    latency_p95_s: float | None
    calls: int | None
    tokens: int | None
    cost: float | None
    model: str | None
    clusters: tuple[Cluster, ...]
    change: Change | None
    wall_s: float
    notes: tuple[str, ...]
    is_real: bool  # whether a model was asked, or the marker says what else the test talks to

    def record(self) -> dict[str, Any]:
        """Return the line of the report, which goes through JSON and across xdist unchanged."""
        fields = self._asdict()
        fields["clusters"] = [
            {"message": one.message, "tools": list(one.tools), "samples": list(one.samples)}
            for one in self.clusters
        ]
        fields["change"] = None if self.change is None else self.change._asdict()
        fields["notes"] = list(self.notes)
        return {"type": "nd", **fields}

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> NdResult:
        """Read back what record() made."""
        fields = {name: record[name] for name in cls._fields}
        fields["clusters"] = tuple(
            Cluster(one["message"], tuple(one["tools"]), tuple(one["samples"])) for one in record["clusters"]
        )
        fields["change"] = None if record["change"] is None else Change(**record["change"])
        fields["notes"] = tuple(record["notes"])
        return cls(**fields)

    def properties(self) -> list[tuple[str, str]]:
        """Return what stands in JUnit XML as properties of the test."""
        names = (
            *("verdict", "passes", "samples", "planned", "replaced", "rate", "lower", "upper", "confidence"),
            *("min_pass_rate", "method", "latency_p50_s", "latency_p95_s", "calls", "tokens", "cost"),
            *("model", "reason"),
        )
        fields = self._asdict()
        return [(f"nd_{name}", _plain(fields[name])) for name in names if fields[name] is not None]


def result_lines(result: NdResult) -> list[str]:
    """Return what is said of one test: the verdict in a sentence, then what lies below it."""
    rate = "" if result.rate is None else f" ({_rate(result.rate)})"
    head = (
        f"{result.verdict}: {result.passes} of {result.samples} samples passed{rate};"
        f" the {_percent(result.confidence)} bounds are {_rate(result.lower)} and {_rate(result.upper)},"
        f" {_rate(result.min_pass_rate)} is required"
    )
    return [head, *_details(result)]


def nd_lines(results: Iterable[NdResult]) -> list[str]:
    """Return the table of a run: a row for each test, and below it what explains its verdict."""
    told = sorted(results, key=lambda result: ("FAIL", "INCONCLUSIVE", "PASS").index(result.verdict))
    rows = [_COLUMNS, *(_row(result) for result in told)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS) - 1)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows]
    table = [lines[0]]
    for line, result in zip(lines[1:], told, strict=True):
        table += [line, *(f"    {detail}" for detail in _details(result))]
    unproven = sum(not result.is_real for result in told)
    if unproven:
        table.append(f"{unproven} of {len(told)} asked no model: nothing shows that they met anything real")
    return table


def _row(result: NdResult) -> tuple[str, ...]:
    return (
        result.verdict,
        f"{result.passes}/{result.samples}",
        "-" if result.rate is None else _rate(result.rate),
        f"{_rate(result.lower)}..{_rate(result.upper)}",
        _rate(result.min_pass_rate),
        str(result.replaced),
        _seconds(result.latency_p50_s),
        _seconds(result.latency_p95_s),
        "-" if result.calls is None else f"{result.calls:,}",
        "-" if result.tokens is None else f"{result.tokens:,}",
        "-" if result.cost is None else f"{result.cost:.4f}",
        result.nodeid,
    )


def _details(result: NdResult) -> list[str]:
    lines = [] if result.reason is None else [result.reason]
    for cluster in result.clusters[:_MOST_CLUSTERS]:
        path = f"  [{cluster.path}]" if cluster.tools else ""
        lines.append(f"{len(cluster.samples)} x {cluster.message}{path}  ({_numbers(cluster.samples)})")
    if len(result.clusters) > _MOST_CLUSTERS:
        lines.append(f"and {plural(len(result.clusters) - _MOST_CLUSTERS, 'more kind')} of failure")
    if result.change is not None:
        lines.append(_change(result))
    return [*lines, *result.notes]


def _change(result: NdResult) -> str:
    change = result.change
    assert change is not None
    with_model = "" if change.model == result.model else f" with {change.model}"
    return (
        f"last run{with_model} ({change.when}): {change.passes}/{change.samples},"
        f" p {'< 0.001' if change.p_value < 0.001 else f'= {change.p_value:.3f}'} (two-proportion test)"
    )


def _numbers(samples: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in samples[:_MOST_SAMPLES])
    more = "" if len(samples) <= _MOST_SAMPLES else f" and {len(samples) - _MOST_SAMPLES} more"
    return f"sample{'' if len(samples) == 1 else 's'} {shown}{more}"


def _rate(share: float) -> str:
    return f"{share:.3f}"


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
