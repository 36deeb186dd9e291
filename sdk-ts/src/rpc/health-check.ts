import { type Client, Metadata } from "@grpc/grpc-js";
import { wallClockMs } from "./system-clock.ts";

/** Field 1 of `grpc.health.v1.HealthCheckResponse` with the value SERVING. */
const serving = Buffer.from([0x08, 0x01]);

const emptyRequest = Buffer.alloc(0);
const pass = (bytes: Buffer): Buffer => bytes;

/** What `grpc.health.v1` says of a whole server: "down" when it does not answer within `timeoutMs`. */
export type ServerState = "serving" | "not serving" | "down";

/** Asks a server whether it serves: a process that waits to take over answers, and does not. */
export function checkHealth(client: Client, timeoutMs: number): Promise<ServerState> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      pass,
      pass,
      emptyRequest,
      new Metadata(),
      { deadline: wallClockMs() + timeoutMs },
      (failure, answer) => {
        if (failure !== null) resolve("down");
        else resolve(answer?.equals(serving) === true ? "serving" : "not serving");
      },
    );
  });
}
