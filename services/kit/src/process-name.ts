import { hostname } from "node:os";

/** This process for people, such as `host-a:4711`: in rows that name who leads. Not unique over time. */
export function processName(): string {
  return `${hostname()}:${process.pid}`;
}
