import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { goEnvironment, goTool } from "../smoke/go-tool.ts";
import { stubDrift } from "../smoke/stub-drift.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const key = "a-key-for-this-test-alone";

describeWithTool("a client in Go", goTool(), () => {
  let example: ExampleProject;
  beforeAll(async () => {
    example = await openExample("go-client", {
      ...goEnvironment(),
      QMTL_API_KEY: key,
      QMTL__SECURITY__KEYS:
        "{ops: {principal: alice, role: operator, secret: {env: QMTL_API_KEY}}}",
    });
    await example.type("go build -o go-client .");
    await example.typeStaying("npx qmtl up                     # stays").waitFor(/ready/);
  });
  afterAll(() => example?.[Symbol.asyncDispose]());

  /** Runs the client in ways that its README does not show. */
  const run = (env: Readonly<Record<string, string>>) =>
    promisify(execFile)(join(example.folder, "go-client"), ["-world", "ops", "-wait", "10ms"], {
      env: {
        ...process.env,
        QMTL_GATEWAY: new URL(example.gatewayUrl).host,
        QMTL_API_KEY: key,
        ...env,
      },
    }).then(
      ({ stdout, stderr }) => ({ stdout, stderr }),
      ({ stdout, stderr }: { stdout: string; stderr: string }) => ({ stdout, stderr }),
    );

  test("makes a world, lists it, and sees the first state of its gate and then a change", async () => {
    const client = example.typeStaying("QMTL_GATEWAY=127.0.0.1:7400 ./go-client -world ops");
    await client.waitFor(/waiting/);
    await example.type('npx qmtl world freeze ops --reason "to see it"');
    const { exitCode, stdout } = await client.ended;

    expect(stdout.trim().split("\n")).toEqual([
      "made      ops",
      "world     ops: wall clock",
      "ticket    for world/ops/gate",
      "snapshot  gate open, fence 1, revision 1",
      "waiting   for a change; qmtl world freeze ops --reason test",
      "change    freeze: gate closing, fence 2, revision 2, held: manual (to see it)",
    ]);
    expect(exitCode).toBe(0);
  });

  test("goes on with a world that is there already: it knows the refusal by its reason", async () => {
    expect((await run({})).stdout).toMatch(/^found {5}ops\nworld {5}ops: wall clock\n/);
  });

  test("tells a refusal by its stable reason and the field", async () => {
    const line = 'QMTL_GATEWAY=127.0.0.1:7400 ./go-client -world "Not a name"';
    const { exitCode, stderr } = await example.typeRefused(line);

    expect(stderr).toMatch(/^refused {3}INVALID_FIELD: /);
    expect(stderr).toMatch(/^ {2}world\.world_id: /m);
    expect(exitCode).toBe(1);
    expect(example.untyped()).toEqual([]);
  });

  test("is refused without its key", async () => {
    const { stdout, stderr } = await run({ QMTL_API_KEY: "" });

    expect(stdout).toBe("");
    expect(stderr).toMatch(/^refused {3}PRINCIPAL_UNKNOWN: /);
  });

  test("says so when nobody answers", async () => {
    expect((await run({ QMTL_GATEWAY: "127.0.0.1:1" })).stderr).toMatch(/^failed {4}Unavailable: /);
  });
});

describeWithTool("the Go stubs in gen/go", goTool(), () => {
  test("are what the contracts generate", async () => {
    const { made, drifted } = await stubDrift("buf.gen.go.yaml", "gen/go/qmtl", goEnvironment());

    expect(made).toBeGreaterThan(40);
    expect(drifted, "generate them again: npm run gen:go").toEqual([]);
  });
});
