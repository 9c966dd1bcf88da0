"""What was measured: figures with the values of every run, and the table a person reads."""

import dataclasses
import statistics


@dataclasses.dataclass
class Figure:
    """`better` is "more" or "less"; wanted: ("ratio", at least times the peer) ("most" or "least", this much)."""

    label: str
    unit: str
    better: str = "more"
    wanted: tuple = ()
    best: bool = False  # the best run counts, not the median
    values: dict = dataclasses.field(default_factory=dict)  # peer -> [value of each run]

    def add(self, peer, value):
        self.values.setdefault(peer, []).append(value)

    def value(self, peer):
        values = self.values.get(peer)
        if not values:
            return None
        if self.best:
            return max(values) if self.better == "more" else min(values)
        return statistics.median(values)

    def ratio(self, ours, peer):
        """How many times better ours is."""
        a, b = self.value(ours), self.value(peer)
        if not a or not b:
            return None
        return a / b if self.better == "more" else b / a

    def verdict(self, ours, peer):
        if not self.wanted:
            return ""
        kind, bound = self.wanted
        if kind == "ratio":
            got, text = self.ratio(ours, peer), f"{bound:g} x"
            met = got is not None and got >= bound
        else:
            got, text = self.value(ours), f"at {kind} {bound:g}"
            met = got is not None and (got <= bound if kind == "most" else got >= bound)
        if got is None:
            return f"{text}: not measured"
        return f"{text}: {'met' if met else 'MISSED'}"


class Figures:
    """Figures by key, in the order in which they were first named."""

    def __init__(self):
        self.by_key = {}

    def figure(self, key, *shape, **named):
        return self.by_key.setdefault(key, Figure(*shape, **named))

    def as_json(self):
        return {key: dataclasses.asdict(f) for key, f in self.by_key.items()}

    def rows(self, ours, peer):
        yield ["what", "unit", ours, peer, "times better", "wanted"]
        for f in self.by_key.values():
            ratio = f.ratio(ours, peer)
            yield [f.label, f.unit, shown(f, ours), shown(f, peer), number(ratio) if ratio else "", f.verdict(ours, peer)]

    def table(self, ours, peer):
        rows = list(self.rows(ours, peer))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines)


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def shown(figure, peer):
    """The value that counts, and the least and most of the runs."""
    values = figure.values.get(peer)
    if not values:
        return ""
    text = number(figure.value(peer))
    if len(values) > 1:
        text += f" ({number(min(values))} to {number(max(values))})"
    return text
