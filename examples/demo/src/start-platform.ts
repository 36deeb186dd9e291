import { demand, type Stage } from "./stage.ts";

/** Step 2: the platform, a replay world with a policy, and the three strategies as processes of their own. */
export async function startPlatform(stage: Stage): Promise<void> {
  const began = performance.now();
  // The third apply will be cut in two, and the reply to one order will be lost: see step 6.
  stage.platform = stage.qmtl.start(["up"], {
    QMTL_FAILPOINT: "w.apply.after_commit:3",
    QMTL_PAPER_FAULT: "lose_reply:*:2015-08-07",
  });
  await stage.platform.waitFor("it was ready", (event) => event.event === "ready");
  stage.say(
    `platform up in ${seconds(began)} s: one process, embedded database, no server installed`,
  );
  await stage.qmtl.one(
    "world",
    "create",
    "demo",
    "--clock",
    "replay",
    "--source",
    "sp500",
    "--account",
    "main",
    "--allocation",
    "0.8",
  );
  await stage.qmtl.one("policy", "add", "demo", "policy.yml");
  const expected = { trend: [7, 0], swing: [3, 4], flow: [3, 4] } as const;
  let distinct = 0;
  for (const [name, [newNodes, reusedNodes]] of Object.entries(expected)) {
    const runner = stage.qmtl.start([
      "run",
      `strategies/${name}.ts`,
      "--world",
      "demo",
      "--record",
      `.qmtl/${name}.session.jsonl`,
    ]);
    stage.runners.set(name, runner);
    const submitted = await runner.waitFor(
      "it was submitted",
      (event) => event.event === "submitted",
    );
    const found = /^(s-[0-9a-f]{16}): (\d+) new nodes?, (\d+) reused/.exec(
      String(submitted.message),
    );
    demand(found !== null, `${name} was submitted: ${submitted.message}`);
    stage.ids.set(name, found[1] ?? "");
    const counted = [Number(found[2]), Number(found[3])];
    distinct += newNodes;
    stage.say(`submitted ${name.padEnd(6)} ${counted[0]} nodes new, ${counted[1]} reused`);
    demand(
      counted[0] === newNodes && counted[1] === reusedNodes,
      `${name}: ${newNodes} new and ${reusedNodes} reused`,
    );
  }
  stage.say(`21 nodes in all, ${distinct} distinct: 8 reused (38 %)`);
  const shares = `demo=0.8:${stage.idOf("trend")}=0.4,${stage.idOf("swing")}=0.3,${stage.idOf("flow")}=0.3`;
  await stage.qmtl.one("rebalance", "allocate", "--world", shares, "--run", "start");
}

function seconds(began: number): string {
  return ((performance.now() - began) / 1000).toFixed(1);
}
