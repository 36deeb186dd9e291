"""Figures of whole runs by a ledger of its own: figures.json, to which the product's figures must be equal to 1e-9.

Run by hand: `python3 figures_ledger.py` writes figures.json again; `--check` exits 1 if it differs. Python 3.11, nothing
else. The inputs are the files in figures/. Rules, each written down once more here and nowhere copied from:

- A target is the column w of the instrument's own bars, taken at the end of a bar when it changes: w x equity of the
  whole account / last close, in whole lots toward zero. Its order fills at the open of the next bar.
- A fill pays half a spread of 1 bp on its price and a fee of 1 bp of quantity x open, unless the case says otherwise.
- An order that turns a long position into a short one, or back, is two: one closes, the other opens.
- The account is marked whenever a bar of any traded file ends, each instrument at its last close.
- Total return and drawdown are of all marks. Ratios take one return per interval, the longest of the files, at the last
  mark in it; an interval ends at its end inclusive, and one without a mark is left out.
- Equity of 0 or less ends the run: the mark returns -100 %, and the equity stays 0. What is held is closed at
  the next open, nothing else trades, there are no ratios.
"""

import csv
import datetime
import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
HOUR, DAY = 3_600_000, 86_400_000
CASH = 1_000_000

CASES = {
    "two-calendars": {
        "us": dict(symbol="US", interval=DAY, periods=252, lot=1),
        "de": dict(symbol="DE", interval=DAY, periods=252, lot=1),
    },
    "mixed-frequency": {
        "coin": dict(symbol="C", interval=HOUR, periods=8766, lot=0.001),
        "stock": dict(symbol="S", interval=DAY, periods=252, lot=1),
    },
    "two-phases": {
        "night": dict(symbol="N", interval=4 * HOUR, periods=2190, lot=0.01),
        "day": dict(symbol="D", interval=DAY, periods=252, lot=1),
    },
    "short-ruin": {"px": dict(symbol="X", interval=DAY, periods=252, lot=1)},
    "ruin-exact-zero": {"px": dict(symbol="X", interval=DAY, periods=252, lot=1, free=True)},
    "sign-inversion": {"px": dict(symbol="X", interval=DAY, periods=365, lot=1)},
}


def two_phases():
    """Bars of 4 hours round the clock from 02:00 on, and days that end at 21:00 without weekends, which begin later."""
    state = 7

    def draw():
        nonlocal state
        state = (state * 1_103_515_245 + 12_345) % 2**31
        return state / 2**31 - 0.5

    start = 1_709_424_000_000  # 2024-03-03, a Sunday
    for name, count, step, first, spread in (
        ("night", 180, 4 * HOUR, start + 2 * HOUR, 0.02),
        ("day", 26, DAY, start + 3 * DAY - 3 * HOUR, 0.05),
    ):
        close, weight, lines = 100.0, 0.0, []
        for k in range(count):
            time = first + k * step
            if name == "day" and (time // DAY + 4) % 7 in (5, 6):
                continue
            opened = round(close * (1 + spread * draw() / 4), 4)
            close = round(opened * (1 + spread * draw()), 4)
            if k % 5 == 0:
                weight = round(0.9 * draw(), 2)
            high, low = max(opened, close), min(opened, close)
            lines.append([time, opened, high, low, close, weight])
        with open(HERE / "figures" / "two-phases" / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([["open_time", "open", "high", "low", "close", "w"], *lines])


def read(case, name):
    with open(HERE / "figures" / case / f"{name}.csv") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if "date" in row:
            date = datetime.datetime.fromisoformat(row["date"])
            yield int(date.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000), row
        else:
            yield int(row["open_time"]), row


def ledger(case):
    files = CASES[case]
    bars = {}
    for name, about in files.items():
        for opened, row in read(case, name):
            end = opened + about["interval"]
            values = [float(row[key]) for key in ("open", "close", "w")]
            bars.setdefault(end, {})[name] = values
    cash, held, wanted, pending, mark, target = float(CASH), {}, {}, {}, {}, {}
    marks, fills = [], 0
    for end in sorted(bars):
        for name, (opened, close, _) in bars[end].items():
            about = files[name]
            lots = pending.pop(name, 0)
            if lots != 0:
                bp = 0 if about.get("free") else 1e-4
                quantity = lots * about["lot"]
                cash -= quantity * opened * (1 + bp * (1 if lots > 0 else -1))
                cash -= abs(quantity * opened) * bp
                before, held[name] = held.get(name, 0), held.get(name, 0) + lots
                fills += 2 if before * held[name] < 0 else 1
            mark[name] = close
        worth = sum(held.get(name, 0) * files[name]["lot"] * price for name, price in mark.items())
        equity = cash + worth
        marks.append((end, equity))
        if equity <= 0:
            marks[-1] = (end, 0.0)
            later = [name for after in bars if after > end for name in bars[after]]
            fills += sum(lots != 0 and name in later for name, lots in held.items())
            break
        for name, (_, close, weight) in bars[end].items():
            if weight == target.get(name, 0):
                continue
            target[name] = weight
            wanted = math.trunc(weight * equity / (close * files[name]["lot"]) + math.copysign(1e-9, weight))
            if wanted != held.get(name, 0):
                pending[name] = wanted - held.get(name, 0)
    return marks, fills, sorted(bars)[-1]


def of_equity(equity, periods, samples=None):
    """Figures of the equity at all marks; ratios are those of the samples, all marks unless given."""
    peak, drawdown = 0.0, 0.0
    for value in equity:
        peak = max(peak, value)
        drawdown = max(drawdown, 1 - value / peak)
    values = equity if samples is None else samples
    returns = [after / before - 1 for before, after in zip(values, values[1:])]
    total = equity[-1] / equity[0] - 1
    expected = {
        "total_return": total,
        "max_drawdown_ratio": drawdown,
        "samples": len(returns),
        "cagr": (1 + total) ** (periods / len(returns)) - 1,
    }
    if equity[-1] > 0:
        mean = math.fsum(returns) / len(returns)
        deviation = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
        gains = math.fsum(r for r in returns if r > 0)
        losses = -math.fsum(r for r in returns if r < 0)
        expected |= {
            "sharpe_per_bar": mean / deviation,
            "sharpe": mean / deviation * math.sqrt(periods),
            "volatility": deviation * math.sqrt(periods),
            "win_ratio": sum(r > 0 for r in returns) / sum(r != 0 for r in returns),
            "profit_factor": gains / losses,
        }
    return expected


def figures(case):
    marks, fills, last = ledger(case)
    interval = max(about["interval"] for about in CASES[case].values())
    periods = max(about["periods"] * about["interval"] / interval for about in CASES[case].values())
    equity = [value for _, value in marks]
    # The first mark is where the run begins; the last one of each interval after it is a sample.
    samples = {-math.inf: equity[0]}
    for end, value in marks[1:]:
        samples[-(-end // interval)] = value
    values = list(samples.values())
    expected = {
        "marks": len(marks),
        "fills": fills,
        "first_equity": equity[0],
        "last_equity": equity[-1],
    }
    expected |= of_equity(equity, periods, values)
    return {
        "id": case,
        "interval_seconds": interval // 1000,
        "periods_per_year": periods,
        "sources": {
            name: {
                "instrument": about["symbol"],
                "interval_seconds": about["interval"] // 1000,
                "periods_per_year": about["periods"],
                "lot": f"{about['lot']:g}",
                "free": about.get("free", False),
            }
            for name, about in CASES[case].items()
        },
        "expected": expected,
    }


def main():
    is_check = "--check" in sys.argv
    if not is_check:
        two_phases()
    text = json.dumps({"cases": [figures(case) for case in CASES]}, indent=1) + "\n"
    path = HERE / "figures.json"
    if is_check:
        sys.exit(0 if path.read_text() == text else 1)
    path.write_text(text)


if __name__ == "__main__":
    main()
