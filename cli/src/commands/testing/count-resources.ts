// Run by run-online.test.ts: runs a strategy in several ways, ends each run, and prints a JSON line of what each left.
import { loadConfig, loadStrategy, type OnlineEvent, type OnlineRun, Runner } from "@qmtl/sdk";

const [configPath = "", file = "", worldId = "", deadUrl = ""] = process.argv.slice(2);
/** Longest wait for a socket to close, milliseconds. */
const leftMsMax = 15_000;

const strategy = await loadStrategy(file);
const config = loadConfig({ path: configPath });
// Opens both streams before the count: each opens at its first use.
process.stderr.write("");
process.stdout.write("\n");
const before = resources();

/** Resources that keep the process alive, by kind. */
function resources(): readonly string[] {
  return process.getActiveResourcesInfo().sort();
}

/** Resources beyond those counted at the start; waits for sockets, which take a moment to close. */
async function left(): Promise<readonly string[]> {
  const until = Date.now() + leftMsMax;
  for (;;) {
    const spare = [...before];
    const more = resources().filter((kind) => {
      const at = spare.indexOf(kind);
      if (at >= 0) spare.splice(at, 1);
      return at < 0;
    });
    if (more.length === 0 || Date.now() > until) return more;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Starts a run, and waits until it has emitted an event of one of these kinds. */
async function runUntil(
  kinds: readonly OnlineEvent["kind"][],
  more: { readonly gatewayUrl?: string; readonly worldId?: string },
): Promise<OnlineRun & AsyncDisposable> {
  let tell = (): void => {};
  const told = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const onEvent = ({ kind }: OnlineEvent): void => {
    if (kinds.includes(kind)) tell();
  };
  const run = await Runner.run(strategy, { worldId, config, onEvent, ...more });
  await Promise.race([told, run.done.catch(() => {})]);
  return run;
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  "before anything was answered": async () => {
    await Runner.shutdown(Runner.run(strategy, { worldId, config }));
  },
  "waiting for a gateway, twice at once": async () => {
    const run = await runUntil(["unreachable"], { gatewayUrl: deadUrl });
    await Promise.all([Runner.shutdown(run), Runner.shutdown(run), run.stop()]);
  },
  "refused by the gateway": async () => {
    const run = await runUntil([], { worldId: "nowhere" });
    await Runner.shutdown(run);
  },
  "with a control stream, by its scope, and once more": async () => {
    let ended: OnlineRun;
    {
      await using run = await runUntil(["connected"], {});
      ended = run;
    }
    await Runner.shutdown(ended);
  },
};

for (const [name, play] of Object.entries(scenarios)) {
  await play();
  process.stdout.write(`${JSON.stringify({ name, left: await left() })}\n`);
}
