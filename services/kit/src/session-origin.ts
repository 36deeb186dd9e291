import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { SessionOrigin as OriginMessage } from "@qmtl/contracts/qmtl/control/v1/session_pb";

/** Where a session runs, as its client reports it; for people. */
export interface SessionOrigin {
  /** Such as `trader-3:4711`. */
  readonly process: string;
  /** When the process started, milliseconds since 1970 by its own clock; 0: not reported. */
  readonly startMs: number;
}

/** Reads an origin from the wire; undefined when nothing was reported. */
export function originFromProto(origin: OriginMessage | undefined): SessionOrigin | undefined {
  if (origin === undefined) return undefined;
  const { process, startTime } = origin;
  return { process, startMs: startTime === undefined ? 0 : timestampMs(startTime) };
}

/** The origin as a field of a message; left out when nothing was reported. */
export function originField(origin: SessionOrigin | undefined) {
  if (origin === undefined) return {};
  const { process, startMs } = origin;
  return {
    origin: { process, ...(startMs === 0 ? {} : { startTime: timestampFromMs(startMs) }) },
  };
}
