"""Makes held-weights.json: 60 % of one instrument and 40 % of another over 18 years, held in several ways.

A simulator that shares nothing with the product: daily bars, orders decided on a close and filled at the next open of
their instrument with fee and half spread, quantities in whole units toward zero, buying power without a limit. Prices
are whole ten-thousandths, made by a generator that any language can repeat. Run by hand:
`python3 held_weights.py > held-weights.json`.
"""

import datetime as dt
import json
import math

DAY = 86_400_000
CAPITAL = 1_000_000.0
FEE = 5e-4
HALF_SPREAD = 2e-4
WEIGHTS = {"A": 0.6, "B": 0.4}
EPOCH = dt.date(1970, 1, 1)


def weekdays():
    day = dt.date(2000, 1, 3)
    while day < dt.date(2018, 1, 1):
        if day.weekday() < 5:
            yield day
        day += dt.timedelta(days=1)


def bars(seed, start, tilt, holiday):
    """Bars by day. Every `holiday`-th weekday has none; 0 for no holidays."""
    state, price, found = seed, start, {}

    def roll(below):
        nonlocal state
        state = state * 16807 % 2147483647
        return state % below

    for count, day in enumerate(weekdays()):
        opened = price * (10_000 + roll(101) - 50) // 10_000
        closed = opened * (10_000 + roll(401) - 200 + tilt) // 10_000
        if holiday and count % holiday == holiday - 1:
            continue
        found[day] = (opened / 10_000, closed / 10_000)
        price = closed
    return found


FEEDS = {"A": bars(11, 500_000, 5, 0), "B": bars(23, 800_000, 1, 29)}


def end_of(day):
    """A bar ends at the midnight after its day."""
    return day + dt.timedelta(days=1)


def next_period(every, moment):
    """First end of a period after a midnight."""
    if every == "1w":
        return moment + dt.timedelta(days=7 - moment.weekday())
    months = {"1mo": 1, "1q": 3}[every]
    index = moment.year * 12 + moment.month - 1
    index = (index // months + 1) * months
    return dt.date(index // 12, index % 12 + 1, 1)


def simulate(every, drift):
    cash, held, marks = CAPITAL, {"A": 0, "B": 0}, {}
    waiting, due_at, fills, equities = {}, {}, [], []
    days = sorted(set(FEEDS["A"]) | set(FEEDS["B"]))
    stray = (0.0, None)
    for day in days:
        bars_now = {name: feed[day] for name, feed in FEEDS.items() if day in feed}
        for name, (opened, closed) in bars_now.items():
            units = waiting.pop(name, 0)
            if units:
                price = opened * (1 + math.copysign(HALF_SPREAD, units))
                cash -= units * price + abs(units * opened) * FEE
                held[name] += units
                fills.append([name, units])
            marks[name] = closed
        equity = cash + sum(held[name] * marks[name] for name in marks)
        moment = end_of(day)
        sized = []
        for name in bars_now:
            weight = WEIGHTS[name]
            is_due = name not in due_at or (every is not None and moment >= due_at[name])
            if is_due:
                due_at[name] = next_period(every, moment) if every is not None else None
            expected = held[name] + waiting.get(name, 0)
            strays = drift is not None and abs(expected * marks[name] / equity - weight) > drift
            if is_due or (strays and name in due_at):
                sized.append((name, math.trunc(weight * equity / marks[name] + 1e-9) - expected))
        for name, units in sized:
            if units:
                waiting[name] = waiting.get(name, 0) + units
        for name in marks:
            if held[name] and name not in waiting:
                share = held[name] * marks[name] / equity
                if abs(share - WEIGHTS[name]) > stray[0]:
                    stray = (abs(share - WEIGHTS[name]), [name, share, (end_of(day) - EPOCH).days])
        equities.append(equity)
    return {
        "final": equities[-1],
        "every_50th": equities[::50],
        "fills": len(fills),
        "units": {name: sum(abs(units) for of, units in fills if of == name) for name in WEIGHTS},
        "first_fills": fills[:8],
        "held": held,
        "stray": stray[1],
    }


CASES = [
    ("when the target changes", None, None),
    ("monthly", "1mo", None),
    ("weekly", "1w", None),
    ("quarterly", "1q", None),
    ("by drift", None, 0.05),
    ("quarterly and by drift", "1q", 0.03),
]

if __name__ == "__main__":
    cases = [
        {"name": name, "every": every, "drift": drift, "expected": simulate(every, drift)}
        for name, every, drift in CASES
    ]
    about = "60/40 over 18 years, made by held_weights.py"
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f'{{"about": {json.dumps(about)}, "tolerance": 1e-9, "cases": [\n{lines}\n]}}')
