// `npm run soak` (options: e2e/README.md): runs many crash stories.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openTestPostgres } from "@qmtl/service-kit/testing";
import { findViolations } from "./check-story.ts";
import { planKills, planPoints } from "./kill-plan.ts";
import { runPauseStory } from "./pause-story.ts";
import { runStory } from "./run-story.ts";
import type { StoryRecord } from "./story-record.ts";

/** Kills per story; a longer soak runs more stories. */
const STORY_KILLS = 20;

const { values } = parseArgs({
  options: {
    kills: { type: "string" },
    pauses: { type: "string" },
    seed: { type: "string", default: "1" },
    offset: { type: "string", default: "0" },
    postgres: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    keep: { type: "string" },
    problems: { type: "boolean", default: false },
    points: { type: "string" },
  },
});

const points = values.points?.split(",");
const pausesWanted = Number(values.pauses ?? (points === undefined ? 1 : 0));
const killsWanted = Number(values.kills ?? points?.length ?? 300);

/** Runs stories until there were enough kills and pauses, and prints a summary; exit code 1 when the oracle found anything. */
async function soak(): Promise<boolean> {
  const began = performance.now();
  const say = (text: string): void => {
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    process.stdout.write(`${seconds.padStart(5)} s  ${text}\n`);
  };
  const tell = values.verbose ? say : (): void => {};
  const murmur = values.problems ? (text: string): void => say(`    ${text}`) : (): void => {};
  await using cluster = values.postgres ? await openTestPostgres() : undefined;
  const reached = new Map<string, number>();
  let [killed, orders, fills, faults] = [0, 0, 0, 0];
  for (let k = 0; killed < killsWanted; k++) {
    const seed = Number(values.seed) + k;
    const kills = points?.length ?? Math.min(STORY_KILLS, killsWanted - killed);
    const dsn = cluster === undefined ? {} : { dsn: await cluster.createDatabase() };
    const offset = Number(values.offset) + killed;
    try {
      const plan = points === undefined ? planKills(seed, kills, offset) : planPoints(seed, points);
      const story = await runStory({ seed, plan, ...dsn, onStep: tell, onProblem: murmur });
      const violations = findViolations(story.record);
      for (const { point, isReached } of story.deaths) {
        const name = isReached || point === "random" ? point : `${point} (not reached)`;
        reached.set(name, (reached.get(name) ?? 0) + 1);
      }
      orders += story.record.accepted.length;
      fills += story.record.executions.length;
      faults += violations.length;
      say(
        `seed ${seed}, offset ${offset}: ${story.deaths.length} deaths, ${violations.length} violations`,
      );
      for (const violation of violations) say(`  ${violation}`);
      if (violations.length > 0) await keep(seed, story.record);
    } catch (failure) {
      faults += 1;
      say(`seed ${seed}, offset ${offset}: the story broke off: ${String(failure)}`);
    }
    killed += kills;
  }
  for (let k = 0; k < pausesWanted; k++) {
    const seed = Number(values.seed) + k;
    const dsn = cluster === undefined ? {} : { dsn: await cluster.createDatabase() };
    try {
      const { record, stayedOut } = await runPauseStory({ seed, ...dsn, onStep: tell });
      const violations = [...findViolations(record), ...stayedOut];
      faults += violations.length;
      say(`seed ${seed}: 3 pauses of 20 s, ${violations.length} violations`);
      for (const violation of violations) say(`  ${violation}`);
      if (violations.length > 0) await keep(seed, record);
    } catch (failure) {
      faults += 1;
      say(`seed ${seed}: the story of pauses broke off: ${String(failure)}`);
    }
  }
  for (const [point, times] of [...reached].sort()) say(`  ${point}: ${times}`);
  say(`${killed} deaths, ${orders} orders accepted, ${fills} fills, ${faults} faults`);
  return faults === 0;
}

/** Writes a record in which the oracle found violations to the folder `--keep`, if given. */
async function keep(seed: number, record: StoryRecord): Promise<void> {
  if (values.keep === undefined) return;
  await mkdir(values.keep, { recursive: true });
  const body = { ...record, decisions: [...record.decisions] };
  await writeFile(join(values.keep, `seed-${seed}.json`), JSON.stringify(body, null, 1));
}

process.exitCode = (await soak()) ? 0 : 1;
