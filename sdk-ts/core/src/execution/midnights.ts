const dayMs = 86_400_000;
/** Farther from UTC than any zone, and so far apart that the clocks of a zone change once between them at most. */
const nearMs = 26 * 3_600_000;

/**
 * The moments at which the calendar days of a zone begin: 00:00 there, or where clocks skip it the first moment of the
 * day. Times are epoch milliseconds.
 */
export class Midnights {
  readonly zone: string;
  readonly #offsetAt: (timeMs: number) => number;
  /** The last answer, and the time it was given for: it holds in between. */
  #fromMs = Number.NaN;
  #nextMs = Number.NaN;

  /** @throws {RangeError} for a zone that is not known */
  constructor(zone: string) {
    if (!isZone(zone)) throw new RangeError(`"${zone}" is not the IANA name of a time zone`);
    this.zone = zone;
    this.#offsetAt = zone === "UTC" ? () => 0 : offsetIn(zone);
  }

  /** The first midnight after a time. */
  after(timeMs: number): number {
    if (timeMs >= this.#fromMs && timeMs < this.#nextMs) return this.#nextMs;
    this.#fromMs = timeMs;
    this.#nextMs = this.#firstAfter(timeMs);
    return this.#nextMs;
  }

  #firstAfter(timeMs: number): number {
    const localMs = timeMs + this.#offsetAt(timeMs);
    let day = Math.floor(localMs / dayMs);
    let startMs = this.#startOf(day);
    while (startMs <= timeMs) startMs = this.#startOf(++day);
    return startMs;
  }

  /** When day `day` after 1970-01-01 begins. */
  #startOf(day: number): number {
    const utcMs = day * dayMs;
    const before = this.#offsetAt(utcMs - nearMs);
    const after = this.#offsetAt(utcMs + nearMs);
    if (before === after) return utcMs - before;
    let [low, high] = [utcMs - nearMs, utcMs + nearMs];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#offsetAt(middle) === before) low = middle;
      else high = middle;
    }
    const changeMs = high;
    const earlier = utcMs - before;
    return earlier < changeMs ? earlier : Math.max(changeMs, utcMs - after);
  }
}

/** Whether a text is the IANA name of a zone, such as `UTC` or `America/New_York`. */
export function isZone(zone: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]*$/.test(zone)) return false;
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone: zone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** Milliseconds that the clocks of a zone are ahead of UTC, at a time. */
function offsetIn(zone: string): (timeMs: number) => number {
  const whole = { year: "numeric", month: "numeric", day: "numeric" } as const;
  const time = { hour: "numeric", minute: "numeric", second: "numeric" } as const;
  const format = new Intl.DateTimeFormat("en-US", {
    ...{ timeZone: zone, hourCycle: "h23", calendar: "gregory", numberingSystem: "latn" },
    ...whole,
    ...time,
  });
  return (timeMs) => {
    const part = new Map(format.formatToParts(timeMs).map(({ type, value }) => [type, +value]));
    const of = (type: Intl.DateTimeFormatPartTypes): number => part.get(type) ?? 0;
    const seconds = Math.floor(timeMs / 1_000) * 1_000;
    const localMs = Date.UTC(
      of("year"),
      of("month") - 1,
      of("day"),
      of("hour"),
      of("minute"),
      of("second"),
    );
    return localMs - seconds;
  };
}
