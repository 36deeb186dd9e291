import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitUntil } from "@qmtl/service-kit/testing";

/** What processes have used since they started. */
export interface ProcessUse {
  /** Processor time of all their threads, milliseconds. */
  readonly cpuMs: number;
  /** Statements given to the embedded database, COMMITs included, BEGINs not: they travel with the next statement. */
  readonly statements: number;
}

/** Measures what service processes use. They are started with its arguments and environment. */
export class UseMeter implements AsyncDisposable {
  readonly execArgv: readonly string[] = [
    "--import",
    import.meta.resolve("./process-use.preload.ts"),
  ];
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;

  static async open(): Promise<UseMeter> {
    return new UseMeter(await mkdtemp(join(tmpdir(), "qmtl-bench-use-")));
  }

  private constructor(folder: string) {
    this.#folder = folder;
    this.env = { QMTL_BENCH_USE: folder };
  }

  /** What these processes have used so far, together. */
  async used(pids: readonly number[]): Promise<ProcessUse> {
    const uses = await Promise.all(pids.map((pid) => this.#usedBy(pid)));
    return {
      cpuMs: uses.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
      statements: uses.reduce((sum, { statements }) => sum + statements, 0),
    };
  }

  async #usedBy(pid: number): Promise<ProcessUse> {
    const file = join(this.#folder, `${pid}.json`);
    await rm(file, { force: true });
    process.kill(pid, "SIGUSR2");
    let text = "";
    await waitUntil(async () => {
      text = await readFile(file, "utf8").catch(() => "");
      return text !== "";
    });
    return JSON.parse(text) as ProcessUse;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.#folder, { recursive: true, force: true });
  }
}
