import { type ChildProcess, spawn } from "node:child_process";
import { endWithUs } from "../demo/src/end-with-us.ts";

/** Longest wait for a text. */
const waitMsMax = 180_000;
/** Most characters of output that are kept. */
const outputCharsMax = 1_000_000;

/** What a command printed and how it ended. */
export interface Ended {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of ours and what it has printed so far. */
export interface FollowedProcess {
  /** Standard output, then standard error, up to now. */
  output(): string;
  /** Resolves with the match once the output matches. Rejects, with the output, if the process ends or 180 s pass. */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  readonly ended: Promise<Ended>;
  /** Sends a signal and waits until it is gone. @default SIGTERM */
  end(signal?: NodeJS.Signals): Promise<Ended>;
}

/** Starts a program and follows its output. */
export function startProcess(
  command: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): FollowedProcess {
  const [program = "", ...args] = command;
  const child: ChildProcess = spawn(program, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  endWithUs(child);
  const text = { stdout: "", stderr: "" };
  const waiting = new Set<() => void>();
  let end: Ended | undefined;
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (chunk: string) => {
      text[name] = (text[name] + chunk).slice(-outputCharsMax);
      for (const look of [...waiting]) look();
    });
  }
  const output = (): string => text.stdout + text.stderr;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      end = { exitCode: code ?? -1, ...text };
      resolve(end);
      for (const look of [...waiting]) look();
    });
  });
  return {
    output,
    ended,
    waitFor: (pattern) =>
      new Promise((resolve, reject) => {
        const line = command.join(" ");
        const fail = (why: string): void =>
          reject(new Error(`${line} ${why} ${pattern}: ${output()}`));
        const timer = setTimeout(() => {
          waiting.delete(look);
          fail("has not shown");
        }, waitMsMax);
        const look = (): void => {
          const found = pattern.exec(output());
          if (found === null && end === undefined) return;
          waiting.delete(look);
          clearTimeout(timer);
          if (found !== null) resolve(found);
          else fail("ended before");
        };
        waiting.add(look);
        look();
      }),
    end: (signal = "SIGTERM") => {
      if (end === undefined) child.kill(signal);
      return ended;
    },
  };
}
