import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { connectRefusal } from "./in-process-clients.ts";
import {
  type Call,
  type ConformanceClient,
  type Outcome,
  type Platform,
  refusalFrom,
} from "./outcome.ts";

/** Longest call, milliseconds; one that still runs then is killed. */
const callMsMax = 60_000;

/** A client that is a program: it reads calls and prints their outcomes, one per line. */
export function lineClient(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): ConformanceClient {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", (failure) => {
      errors += failure.message;
      resolve();
    });
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async call(call) {
      child.stdin.write(`${JSON.stringify(call)}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${program} ended: ${errors}`);
      return JSON.parse(value) as Outcome;
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

/** `grpcurl`, which learns the contract by reflection. */
export function grpcurlClient(program: string, platform: Platform): ConformanceClient {
  const { host } = new URL(platform.gatewayUrl);
  return commandClient(({ method, request, key }) => {
    const reflecting = ["-reflect-header", `authorization: Bearer ${platform.reflectionKey}`];
    const keyed = key === "" ? [] : ["-rpc-header", `authorization: Bearer ${key}`];
    const asked = ["-d", JSON.stringify(request), host, method];
    return [program, "-plaintext", "-format-error", ...reflecting, ...keyed, ...asked];
  }, grpcurlRefusal);
}

/** `buf curl`, which learns the contract by reflection, too. */
export function bufCurlClient(program: string, platform: Platform): ConformanceClient {
  return commandClient(({ method, request, key }) => {
    const reflecting = ["--reflect-header", `authorization: Bearer ${platform.reflectionKey}`];
    const keyed = key === "" ? [] : ["--header", `authorization: Bearer ${key}`];
    const asked = ["--data", JSON.stringify(request), `${platform.gatewayUrl}/${method}`];
    const protocol = ["--protocol", "grpc", "--http2-prior-knowledge"];
    return [program, "curl", ...protocol, ...reflecting, ...keyed, ...asked];
  }, bufRefusal);
}

function commandClient(
  commandOf: (call: Call) => readonly string[],
  refusalOf: (errors: string) => Outcome,
): ConformanceClient {
  return {
    async call(call) {
      const { answer, errors } = await firstAnswer(commandOf(call));
      return answer === undefined ? refusalOf(errors) : { status: "OK", answer };
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Runs a command until it has printed one whole JSON value, or has ended. */
function firstAnswer(command: readonly string[]): Promise<{ answer: unknown; errors: string }> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    // A process group of its own: the command may be a script that starts the program.
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    const timer = setTimeout(() => stop(child), callMsMax);
    let seen = "";
    let errors = "";
    let answer: unknown;
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
      answer ??= firstJson(seen);
      if (answer !== undefined) stop(child);
    });
    child.once("error", reject);
    child.once("close", () => {
      clearTimeout(timer);
      resolve({ answer, errors: errors === "" ? seen : errors });
    });
  });
}

function stop(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // The process has just ended.
  }
}

/** The first JSON value of a text that may hold more, or not yet all of it; undefined when it is incomplete. */
function firstJson(text: string): unknown {
  for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}", end + 1)) {
    try {
      return JSON.parse(text.slice(0, end + 1));
    } catch {
      // The value ends at a later brace.
    }
  }
  return undefined;
}

/** gRPC codes by number. */
const codes = [
  ...["OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"],
  ...["ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"],
  ...["ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"],
  "UNAUTHENTICATED",
];

function grpcurlRefusal(errors: string): Outcome {
  const json = firstJson(errors.slice(errors.indexOf("{")));
  if (typeof json !== "object" || json === null || !("code" in json)) return notSent(errors);
  const { code, details = [] } = json as { code: number; details?: [] };
  return refusalFrom(codes[code] ?? String(code), details);
}

function bufRefusal(errors: string): Outcome {
  const json = firstJson(errors.slice(errors.indexOf("{")));
  if (typeof json !== "object" || json === null || !("code" in json)) return notSent(errors);
  return connectRefusal(json as Parameters<typeof connectRefusal>[0]);
}

function notSent(message: string): Outcome {
  return { status: "NOT_SENT", message };
}
