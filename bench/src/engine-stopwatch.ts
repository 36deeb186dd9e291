/** Milliseconds of a monotonic clock. The only place where the benches read it. */
export function stopwatchMs(): number {
  return performance.now();
}

/** Milliseconds a call takes. */
function timeMs(work: () => void): number {
  const start = stopwatchMs();
  work();
  return stopwatchMs() - start;
}

/** Medians of several kinds of work, interleaved so that a slow moment of the machine hits all of them. */
export function interleavedMedians(
  work: Readonly<Record<string, () => void>>,
  samples: number,
): Readonly<Record<string, number>> {
  const times = new Map(Object.keys(work).map((name) => [name, [] as number[]]));
  for (let k = 0; k < samples; k++) {
    for (const [name, run] of Object.entries(work)) times.get(name)!.push(timeMs(run));
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
  return Object.fromEntries([...times].map(([name, values]) => [name, median(values)]));
}
