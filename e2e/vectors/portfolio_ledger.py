"""Portfolios by a ledger of its own: portfolio-ledger.json, to which a backtest must be equal to 1e-9 at every bar.

Run by hand: `python3 portfolio_ledger.py` writes portfolio-ledger.json again; `--check` exits 1 if it differs. Python
3.11, nothing else. No prices are stored. Any language makes them by this recipe, in integers:

- Each instrument has a generator `state = state * 48271 % 2147483647`; it starts from `seed`, and each step is a draw.
- Row k is the k-th weekday from 2004-01-01 on, counted from 0. A bar is known a day after its date.
- Prices are cents. The close before row 0 is `cents`. Each row of the calendar, whether the instrument is listed or not:
  open = before + floor(before * (draw % 401 - 200) / 100000), then
  close = open + floor(open * (draw % 4001 - 2000 + tilt) / 100000). `jumps` adds percents of `before` to the open of a
  row, rounded down. High and low are the larger and the smaller of the two. Bars are rows first <= k <= last.

The rules, each as the documentation of the product states it (docs/intent.md, docs/sdk.md, ADR 25, 28, 36 and 42):

- A target is sized at the end of a row: weight x equity of the account / close, in whole lots toward zero. It is sized
  when it changes, in `momentum` at each decision. What is missing to it, held and waiting counted, is ordered.
- Orders fill at the next open of their instrument, half a spread worse, with a fee on quantity x open. One through zero
  is two. An instrument whose bars have ended fills nothing and is worth its last close; its order waits for ever.
- Gross exposure, held and waiting, is at most leverage x equity after an order that opens: it is cut, the rest refused.
  So is a fill whose open would take it more than 5 % of the equity beyond that, to what the rule allows at that open.
- Each midnight of the account's zone after the first bar's end costs a day: debit_rate on cash below 0, borrow_rate on the
  value of shorts, less cash_rate on cash above 0, over the days of a year. A midnight that is the end of a bar is charged
  after the fill and at the close of that bar, every other before the next bar, as the bar before left the account.
- In the cases with `funding`, each weekday from 2004-01-01 on has rows that end at 08:00, 16:00 and 24:00, counted together from
  0. The rate of row j is (draw % 41 - 16) / 100000, draws from seed 29, and j % 7 == 3 has a draw but no rate. A row costs
  units held x mark x rate for each instrument: where a bar ends with it after the fill and at the close of that bar, before
  its midnight, otherwise as the bar before left the account.
- At an equity of 0 or less the account is ruined: what is held is closed at the next open, the equity is 0 from then on.
"""

import datetime
import json
import math
import pathlib
import sys

from figures_ledger import CASH, DAY, HOUR, of_equity

HERE = pathlib.Path(__file__).parent
START = datetime.date(2004, 1, 1)
FEE, HALF_SPREAD = 2e-4, 3e-4
PERIODS = 252


def walk(seed, cents, tilt=0, first=0, last=None, jumps=()):
    """What a bar is made of: the recipe's parameters of one instrument."""
    return dict(seed=seed, cents=cents, tilt=tilt, first=first, last=last, jumps=dict(jumps))


def stock(k):
    spec = walk(seed=101 + k, cents=6000 + 450 * k, tilt=(k * 7 % 20 - 8) * 8)
    if k == 18:
        return spec | dict(first=300, tilt=200)
    if k == 19:
        return spec | dict(last=500, tilt=160)
    return spec


DEBIT = dict(cash_rate=0.021, debit_rate=0.063, borrow_rate=0.037, day_count=365)
SEOUL = dict(cash_rate=0.015, debit_rate=0.08, borrow_rate=0.25, zone="Asia/Seoul")
HOURS_AHEAD = {"UTC": 0, "Asia/Seoul": 9}

CASES = {
    "momentum": dict(rows=780, leverage=1, walks={f"S{k}": stock(k) for k in range(20)}),
    "pairs": dict(rows=520, leverage=1, walks={"A": walk(7, 5000), "B": walk(8, 8000)}),
    "leverage-2": dict(
        rows=400,
        leverage=2,
        walks={"X": walk(11, 10_000, tilt=40, jumps={126: 20, 226: -15, 301: 3})},
        weights=[2, 1, 3, 0.5, -3, 2, 3, 0, 1.5, -1, 2.5, -2, 3, -1.5, 3.5, 1],
    ),
    "leverage-2-financed": dict(
        rows=400,
        leverage=2,
        walks={"X": walk(13, 10_000, tilt=30, jumps={130: 12, 310: -9})},
        weights=[2, 1, 3, 0.5, -3, 2, 3, 0, 1.5, -1, 2.5, -2, 3, -1.5, 3.5, 1],
        rates=DEBIT,
    ),
    "pairs-financed": dict(rows=520, leverage=1, walks={"A": walk(17, 5000), "B": walk(19, 8000)}, rates=SEOUL),
    "leverage-2-funded": dict(
        rows=400,
        leverage=2,
        walks={"X": walk(31, 10_000, tilt=20, jumps={140: 10, 290: -8})},
        weights=[2, 1, 3, 0.5, -3, 2, 3, 0, 1.5, -1, 2.5, -2, 3, -1.5, 3.5, 1],
        rates=DEBIT,
        funding=29,
    ),
    "ruin": dict(rows=300, leverage=1, walks={"X": walk(23, 3000, tilt=500)}, weights=[-1]),
}


def weekdays(count):
    """Ends of the bars in epoch milliseconds."""
    day, ends = START, []
    while len(ends) < count:
        if day.weekday() < 5:
            ends.append(((day - datetime.date(1970, 1, 1)).days + 1) * DAY)
        day += datetime.timedelta(days=1)
    return ends


def bars(rows, seed, cents, tilt, first, last, jumps):
    """Open and close by row."""
    state, before, found = seed, cents, {}

    def draw(below):
        nonlocal state
        state = state * 48271 % 2147483647
        return state % below

    for row in range(rows):
        opened = before + before * (draw(401) - 200) // 100_000 + before * jumps.get(row, 0) // 100
        before = opened + opened * (draw(4001) - 2000 + tilt) // 100_000
        if first <= row and (last is None or row <= last):
            found[row] = (opened / 100, before / 100)
    return found


def momentum(feeds, row):
    """A fifth each of the five best returns over 60 rows, decided every 20th row once there are such returns."""
    if row < 60 or row % 20 != 0:
        return {}
    known = {name: feed for name, feed in feeds.items() if row in feed and row - 60 in feed}
    gain = {name: feed[row][1] / feed[row - 60][1] - 1 for name, feed in known.items()}
    best = sorted(gain, key=gain.get, reverse=True)[:5]
    return {name: 0.2 if name in best else 0 for name in feeds}


def pairs(feeds, row):
    """Against the distance of the log ratio from its mean over 60 rows, in quarters of the capital per whole deviation."""
    if row < 59:
        return {}
    ratio = [math.log(feeds["A"][k][1] / feeds["B"][k][1]) for k in range(row - 59, row + 1)]
    mean = math.fsum(ratio) / 60
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in ratio) / 59)
    weight = -max(-2, min(2, math.trunc((ratio[-1] - mean) / deviation))) / 4
    return {"A": weight, "B": -weight}


class Account:
    def __init__(self, leverage, rates):
        self.leverage = leverage
        self.rates = rates
        self.interest = self.borrow_fees = self.funding = 0.0
        self.cash = float(CASH)
        self.held, self.waiting, self.mark = {}, {}, {}
        self.fees = self.spread = 0.0
        self.fills, self.refused = [], []
        self.traded = 0.0  # at the prices of the fills, since the last mark

    def equity(self, name=None, price=None):
        """With one instrument at another price than its mark, if given."""
        marks = self.mark if name is None else self.mark | {name: price}
        return self.cash + math.fsum(self.held.get(each, 0) * at for each, at in marks.items())

    def charge_day(self):
        year = self.rates.get("day_count", 360)
        debit, credit = max(-self.cash, 0), max(self.cash, 0)
        interest = (debit * self.rates["debit_rate"] - credit * self.rates["cash_rate"]) / year
        short = math.fsum(max(-units, 0) * self.mark[name] for name, units in self.held.items())
        borrowed = short * self.rates["borrow_rate"] / year
        self.cash -= interest + borrowed
        self.interest += interest
        self.borrow_fees += borrowed

    def fund(self, rate):
        cost = rate * math.fsum(units * self.mark[name] for name, units in self.held.items())
        self.cash -= cost
        self.funding += cost

    def expected(self, name):
        return self.held.get(name, 0) + self.waiting.get(name, 0)

    def room(self, name, price, equity, slack):
        """Units of the instrument that may be held at a price, whatever their sign."""
        others = math.fsum(abs(self.expected(each)) * at for each, at in self.mark.items() if each != name)
        return ((self.leverage + slack) * equity - others) / price

    def book(self, name, units, opened):
        across = opened * HALF_SPREAD
        self.cash -= units * opened + abs(units) * (across + opened * FEE)
        self.fees += abs(units) * opened * FEE
        self.spread += abs(units) * across
        self.traded += abs(units) * opened + units * across
        self.held[name] = self.held.get(name, 0) + units
        self.fills.append((name, units))

    def fill(self, name, opened, end):
        """What waits is first what closes, then what opens."""
        units = self.waiting.pop(name, 0)
        held = self.held.get(name, 0)
        closing = -held if held * (held + units) < 0 else units if abs(held + units) < abs(held) else 0
        if closing != 0:
            self.book(name, closing, opened)
        units -= closing
        if units == 0:
            return
        equity, held = self.equity(name, opened), self.held.get(name, 0)
        if abs(held + units) > self.room(name, opened, equity, slack=0.05):
            most = max(math.floor(self.room(name, opened, equity, slack=0)), abs(held))
            kept = math.copysign(most, units) - held
            self.refused.append([end, int(units - kept), "REDUCED_TO_BUYING_POWER"])
            units = int(kept)
        if units != 0:
            self.book(name, units, opened)

    def take(self, targets, end):
        """Sizes the targets of one moment, those first that only reduce."""
        equity, orders = self.equity(), {}
        for name, weight in targets.items():
            if name in self.mark:
                exact = weight * equity / self.mark[name]
                orders[name] = math.trunc(exact + math.copysign(1e-9, exact)) - self.expected(name)
        for name in sorted(orders, key=lambda each: self.raises(each, orders[each])):
            units = orders[name]
            if self.raises(name, units):
                before, after = self.expected(name), self.expected(name) + units
                room = self.room(name, self.mark[name], equity, slack=0)
                same = before if before * after > 0 else 0
                if abs(after) > max(room * (1 + 1e-9), abs(same)):
                    assert len(orders) == 1, "several targets share what there is; no case needs it"
                    most = max(math.floor(room * (1 + 1e-9)), abs(same))
                    cut = after - int(math.copysign(most, after))
                    self.refused.append([end, cut, "REDUCED_TO_BUYING_POWER"])
                    units -= cut
            if units != 0:
                self.waiting[name] = self.waiting.get(name, 0) + units

    def raises(self, name, units):
        """Whether an order opens anything."""
        before = self.expected(name)
        return before * (before + units) < 0 or abs(before + units) > abs(before)


def midnights(rates, after, until):
    """Those of the account's zone in (after, until]."""
    ahead = HOURS_AHEAD[rates.get("zone", "UTC")] * HOUR
    first = (after + ahead) // DAY + 1
    return [day * DAY - ahead for day in range(first, (until + ahead) // DAY + 1)]


def funding_rows(ends, seed):
    """Rates by the end of the row; None where a row has none."""
    state, found = seed, {}
    for end in ends:
        for at in (end - 16 * HOUR, end - 8 * HOUR, end):
            state = state * 48271 % 2147483647
            found[at] = None if len(found) % 7 == 3 else (state % 41 - 16) / 100_000
    return found


def ledger(case):
    about = CASES[case]
    feeds = {name: bars(about["rows"], **spec) for name, spec in about["walks"].items()}
    rates = about.get("rates")
    account, standing, equity = Account(about["leverage"], rates), {}, []
    turnover = 0.0
    is_ruined = False
    ends = weekdays(about["rows"])
    funding = funding_rows(ends, about["funding"]) if "funding" in about else {}
    for row, end in enumerate(ends):
        due = midnights(rates, ends[row - 1], end) if rates and row > 0 and not is_ruined else []
        funded = [at for at in funding if row > 0 and ends[row - 1] < at <= end]
        for at in sorted({*due, *funded} - {end}):
            if funding.get(at) is not None:
                account.fund(funding[at])
            if at in due:
                account.charge_day()
        for name, feed in feeds.items():
            if row in feed:
                opened, closed = feed[row]
                account.fill(name, opened, end)
                account.mark[name] = closed
        if end in funded and funding[end] is not None:
            account.fund(funding[end])
        if end in due:
            account.charge_day()
        if row > 0 and not is_ruined:
            turnover += account.traded / equity[-1]
        account.traded = 0.0
        now = account.equity()
        if is_ruined or now <= 0:
            if not is_ruined:
                account.waiting = {name: -units for name, units in account.held.items()}
                ruined_row = row
            is_ruined = True
            equity.append(0.0)
            continue
        equity.append(now)
        if case == "momentum":
            account.take(momentum(feeds, row), end)
            continue
        weights = about.get("weights")
        wanted = pairs(feeds, row) if weights is None else {"X": weights[row // 25 % len(weights)]}
        changed = {name: weight for name, weight in wanted.items() if weight != standing.get(name, 0)}
        standing |= changed
        account.take(changed, end)
    return account, equity, turnover, ruined_row if is_ruined else None


def expected(case):
    account, equity, turnover, ruined_row = ledger(case)
    lived = equity if ruined_row is None else equity[: ruined_row + 1]
    metrics = of_equity(lived, PERIODS)
    metrics["turnover"] = turnover * PERIODS / metrics["samples"]
    traded = {}
    for name, units in account.fills:
        traded[name] = traded.get(name, 0) + abs(units)
    return {
        "fills": len(account.fills),
        "units": traded,
        "held": {name: units for name, units in account.held.items() if units != 0},
        "fees": account.fees,
        "spread": account.spread,
        "financing": {"interest": account.interest, "borrow_fees": account.borrow_fees, "funding": account.funding},
        "refused": account.refused,
        "ruined_row": ruined_row,
        "metrics": metrics,
        "equity": [round(value, 6) for value in equity],
    }


def main():
    recipe = "each instrument's bars are made by the recipe in portfolio_ledger.py"
    costs = {"fee_bps": 2, "half_spread_bps": 3}
    lines = []
    for case, about in CASES.items():
        rest = {key: value for key, value in about.items() if key != "walks"}
        walks = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(spec)}" for name, spec in about["walks"].items())
        figures = json.dumps(expected(case))
        lines.append(
            f'{{"id": {json.dumps(case)}, "about": {json.dumps(rest)},\n "walks": {{\n  {walks}}},\n "expected": {figures}}}'
        )
    head = json.dumps({"recipe": recipe, "costs": costs})[:-1]
    text = f'{head}, "cases": [\n' + ",\n".join(lines) + "\n]}\n"
    json.loads(text)
    path = HERE / "portfolio-ledger.json"
    if "--check" in sys.argv:
        sys.exit(0 if path.read_text() == text else 1)
    path.write_text(text)


if __name__ == "__main__":
    main()
