import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runInProcess } from "./commands/testing/run-in-process.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "qmtl-idle-"));
  writeFileSync(
    join(folder, "postgres.yml"),
    "storage: {kind: postgres, dsn: {env: NO_SUCH_DSN}}\n",
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("an option that would do nothing is refused before anything is done", () => {
  test.each([
    ["run s.ts --record r.jsonl", "--record"],
    ["run s.ts --world w --from 2020-01-01 --no-costs", "--from, --no-costs"],
    ["run s.ts --world w --account main", "--account"],
    ["run s.ts --world w --watch --report r.html", "--report"],
    ["backup --verify b.tgz --force", "--force"],
    ["restore b.tgz --verify --force --reason why", "--force, --reason"],
    ["restore b.tgz --force --config FOLDER/postgres.yml", "--force"],
    ["config generate --force", "--force"],
    ["config schema --force", "--force"],
    ["dag stats --all", "--all"],
    ["dag diff s.ts --name n --as-of d", "--name, --as-of"],
    ["dag diff g.json --export E", "--export"],
    ["dag diff g.json --as-of d", "--as-of"],
    ["dag snapshot --freeze --file g.json --export E", "--export"],
    ["dag --target h:1 snapshot --freeze --file g.json", "--target"],
    ["events --world w --topic t", "--topic"],
    ["events --follow", "--follow"],
    ["orders --follow --working", "--working"],
    ["queues advance s --end --timeout 3", "--timeout"],
    ["rebalance apply --run r --file p.json --account a", "--account"],
  ])("qmtl %s", async (line, flags) => {
    const args = line.replace("FOLDER", folder).split(" ");

    const { exitCode, out, err } = await runInProcess(...args, "--json");

    expect({ exitCode, out }).toEqual({ exitCode: 2, out: [] });
    expect(err).toHaveLength(1);
    expect(JSON.parse(err[0]!)).toMatchObject({
      error: expect.stringContaining(`${flags}: no effect`),
      hint: `leave ${flags} out`,
    });
  });
});
