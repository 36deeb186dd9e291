import { type Client, Metadata, status } from "@grpc/grpc-js";
import { wallClockMs } from "./system-clock.ts";

/** Service name under which health reports whether a process leads; unknown where only one process can run. */
const LEADER = "leader";

/** Field 1 of `grpc.health.v1.HealthCheckResponse` with the value SERVING. */
const serving = Buffer.from([0x08, 0x01]);

const pass = (bytes: Buffer): Buffer => bytes;

/** A `grpc.health.v1.HealthCheckRequest`. */
function requestFor(service: string): Buffer {
  const name = Buffer.from(service);
  return Buffer.concat([Buffer.from(name.length === 0 ? [] : [0x0a, name.length]), name]);
}

/** What a server reports about itself: "down" when it does not answer within `timeoutMs`. */
export type ServerState = "serving" | "not serving" | "down";

/** Asks a server whether calls may go to it. A standby, and a process that is stopping, reports "not serving". */
export async function checkHealth(client: Client, timeoutMs: number): Promise<ServerState> {
  const deadline = wallClockMs() + timeoutMs;
  const state = await ask(client, LEADER, deadline);
  // No other process can lead: the health of the whole server counts.
  return state === "unknown name" ? knownState(await ask(client, "", deadline)) : state;
}

const knownState = (state: ServerState | "unknown name"): ServerState =>
  state === "unknown name" ? "down" : state;

function ask(
  client: Client,
  service: string,
  deadline: number,
): Promise<ServerState | "unknown name"> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      pass,
      pass,
      requestFor(service),
      new Metadata(),
      { deadline },
      (failure, answer) => {
        if (failure !== null) resolve(failure.code === status.NOT_FOUND ? "unknown name" : "down");
        else resolve(answer?.equals(serving) === true ? "serving" : "not serving");
      },
    );
  });
}
