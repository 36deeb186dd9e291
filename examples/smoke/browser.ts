import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { endWithUs } from "../demo/src/end-with-us.ts";

/** Longest wait for a text on a page, and for an answer of the browser. */
const waitMsMax = 60_000;
const lookAgainMs = 50;

/** A page that a test looks at. */
export interface TestPage extends AsyncDisposable {
  /** Runs a script in the page. */
  run(script: string): Promise<unknown>;
  /** Text that a person sees in the element. */
  text(selector: string): Promise<string>;
  /** Resolves once the element's text matches. Rejects with the whole page's text when 60 s pass. */
  waitForText(selector: string, pattern: RegExp): Promise<void>;
}

/** A browser without a window and with a profile of its own, which is removed with it. */
export interface TestBrowser extends AsyncDisposable {
  open(url: string): Promise<TestPage>;
}

const flags = [
  ...["--headless", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ...["--no-default-browser-check", "--disable-dev-shm-usage", "--remote-debugging-pipe"],
];

/** Starts Chromium. It is controlled through pipes, so it listens on no port. */
export async function openBrowser(program: string): Promise<TestBrowser> {
  const profile = await mkdtemp(join(tmpdir(), "qmtl-browser-"));
  // Its sandbox does not start for root.
  const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const child = spawn(
    program,
    [...flags, ...sandbox, `--user-data-dir=${profile}`, "about:blank"],
    {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    },
  );
  endWithUs(child);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const devtools = new DevTools(child.stdio[3] as Writable, child.stdio[4] as Readable);
  child.once("error", (cause) => devtools.end(cause));
  child.once("exit", (code) => devtools.end(new Error(`the browser ended with ${code}`)));
  return {
    open: async (url) => {
      const { targetId } = await devtools.send("Target.createTarget", { url });
      const attached = { targetId, flatten: true };
      const { sessionId } = await devtools.send("Target.attachToTarget", attached);
      return new Tab(devtools, `${targetId}`, `${sessionId}`);
    },
    [Symbol.asyncDispose]: async () => {
      await devtools.send("Browser.close", {}).catch(() => child.kill("SIGKILL"));
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

class Tab implements TestPage {
  readonly #devtools: DevTools;
  readonly #targetId: string;
  readonly #sessionId: string;

  constructor(devtools: DevTools, targetId: string, sessionId: string) {
    this.#devtools = devtools;
    this.#targetId = targetId;
    this.#sessionId = sessionId;
  }

  async run(script: string): Promise<unknown> {
    const asked = { expression: script, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#devtools.send(
      "Runtime.evaluate",
      asked,
      this.#sessionId,
    );
    if (exceptionDetails !== undefined)
      throw new Error(`the page threw: ${JSON.stringify(exceptionDetails)}`);
    return (result as { value?: unknown }).value;
  }

  async text(selector: string): Promise<string> {
    const script = `document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`;
    return String(await this.run(script));
  }

  async waitForText(selector: string, pattern: RegExp): Promise<void> {
    const endMs = Date.now() + waitMsMax;
    while (!pattern.test(await this.text(selector))) {
      if (Date.now() > endMs)
        throw new Error(`${selector} has not shown ${pattern}: ${await this.text("body")}`);
      await delay(lookAgainMs);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#devtools.send("Target.closeTarget", { targetId: this.#targetId });
  }
}

type Answer = Readonly<Record<string, unknown>>;

interface Reply {
  readonly id?: number;
  readonly result?: Answer;
  readonly error?: { readonly message: string };
}

interface Pending {
  resolve(answer: Answer): void;
  reject(cause: Error): void;
}

/** The DevTools protocol over two pipes: JSON texts with a NUL after each. */
class DevTools {
  readonly #out: Writable;
  readonly #waiting = new Map<number, Pending>();
  #id = 0;
  #rest = "";
  #ended: Error | undefined;

  constructor(out: Writable, answers: Readable) {
    this.#out = out;
    out.on("error", (cause) => this.end(cause));
    answers.setEncoding("utf8").on("data", (text: string) => this.#read(text));
  }

  send(method: string, params: Answer, sessionId?: string): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#id += 1;
    const id = this.#id;
    return new Promise<Answer>((resolve, reject) => {
      const late = () => reject(new Error(`${method}: no answer in ${waitMsMax} ms`));
      const timer = setTimeout(late, waitMsMax);
      const settle = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, {
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (cause) => {
          settle();
          reject(cause);
        },
      });
      this.#out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  end(cause: Error): void {
    this.#ended ??= cause;
    for (const { reject } of [...this.#waiting.values()]) reject(cause);
  }

  #read(text: string): void {
    const messages = (this.#rest + text).split("\0");
    this.#rest = messages.pop() ?? "";
    for (const message of messages) {
      const { id = 0, result = {}, error } = JSON.parse(message) as Reply;
      const pending = this.#waiting.get(id);
      if (error === undefined) pending?.resolve(result);
      else pending?.reject(new Error(error.message));
    }
  }
}
