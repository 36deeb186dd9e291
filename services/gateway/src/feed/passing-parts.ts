import type { OfferedRow } from "@qmtl/core/queues";
import type { HeldRows, WaitOptions } from "./offer-queue.ts";
import type { PartWait, PublishPart } from "./publish-plan.ts";

/** Where rows wait. Implemented by `ReplayFeeds`. */
interface Barrier {
  offer(
    source: string,
    record: string,
    rows: readonly OfferedRow[],
    options: WaitOptions,
  ): Promise<HeldRows>;
}

type WaitingPart = PublishPart & { readonly wait: PartWait };

/**
 * The parts of a request in their order, each once it may go to the log. Rows of one feed that follow one another are
 * offered together; those that pass together come as one part, whose row is from the first to the last.
 *
 * @param isBroken whether a part need not wait, because nothing of it can be effective
 * @throws {QmtlError} BARRIER_HELD, TOO_MANY_REQUESTS, and what the barrier throws.
 */
export async function* passingParts(
  barrier: Barrier,
  parts: readonly PublishPart[],
  options: WaitOptions,
  isBroken: (part: PublishPart) => boolean,
): AsyncGenerator<PublishPart> {
  for (let at = 0; at < parts.length; ) {
    const run = runFrom(parts, at);
    const [first] = run;
    if (first === undefined || isBroken(first)) {
      yield parts[at]!;
      at += 1;
      continue;
    }
    const { source, record } = first.wait;
    const rows = run.map(({ wait }) => wait.row);
    const held = await barrier.offer(source, record, rows, options);
    try {
      for (let done = 0; done < run.length && !isBroken(run[done]!); ) {
        const passedRow = await held.passed();
        const together = run.slice(done).filter(({ wait }) => wait.row.row <= passedRow);
        yield joined(together);
        done += together.length;
        at += together.length;
      }
    } finally {
      held.end();
    }
  }
}

/** The parts from one on that wait at the same feed, each with the row after that of the one before. */
function runFrom(parts: readonly PublishPart[], from: number): WaitingPart[] {
  const run: WaitingPart[] = [];
  for (const part of parts.slice(from)) {
    const last = run.at(-1)?.wait;
    if (!isWaiting(part)) break;
    const { source, row } = part.wait;
    if (last !== undefined && (source !== last.source || row.row !== last.row.toRow + 1)) break;
    run.push(part);
  }
  return run;
}

function isWaiting(part: PublishPart): part is WaitingPart {
  return part.wait !== undefined;
}

function joined(parts: readonly WaitingPart[]): PublishPart {
  const [first, last] = [parts[0]!.wait, parts.at(-1)!.wait];
  const row = { row: first.row.row, toRow: last.row.toRow, timeMs: last.row.timeMs };
  return {
    records: parts.flatMap(({ records }) => records),
    indexes: parts.flatMap(({ indexes }) => indexes),
    wait: { ...first, row },
  };
}
