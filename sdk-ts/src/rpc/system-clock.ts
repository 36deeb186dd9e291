/** Wall-clock time, milliseconds since the epoch. The transport turns timeouts into gRPC's absolute deadlines with it. */
export const wallClockMs = (): number => Date.now();
