import { tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./e2e/src/harness/longest-first.ts";

const exclude = ["**/node_modules/**", "**/dist/**", "**/fixtures/**"];

/** Tests that change what all files of a worker share: the environment, signal handlers, the working folder. */
const alone = [
  "cli/src/checks/check-storage.test.ts",
  "cli/src/commands/backup.test.ts",
  "cli/src/commands/config.test.ts",
  "cli/src/main.test.ts",
  "cli/src/node-wrapper.test.ts",
  "cli/src/project/with-interrupt.test.ts",
  "cli/src/until-stopped.test.ts",
  "sdk-ts/sdk/src/testing/bars.test.ts",
  "services/embedded/src/backup/backup.test.ts",
  "services/embedded/src/start-service.test.ts",
];

const limits = {
  testTimeout: 60_000,
  hookTimeout: 120_000,
  pool: "forks" as const,
  // A test uses its embedded database for seconds: optimising that code costs more time than it saves.
  execArgv: ["--liftoff-only"],
  // Processes that tests start find the code parsed already: a fifth of what they cost. The CLI keeps its own there.
  env: { NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") },
};

export default defineConfig({
  test: {
    globalSetup: ["e2e/src/harness/memory-folder.ts", "e2e/src/harness/shared-servers.ts"],
    // On two cores the third computes while others wait for a process, a lease or a timer.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...limits,
          name: "shared",
          // Modules are loaded once per worker, not once per file: a fifth of the time of these tests.
          isolate: false,
          include: ["{sdk-ts,services,cli}/**/*.test.ts"],
          exclude: [...exclude, ...alone],
        },
      },
      {
        test: {
          ...limits,
          name: "platform",
          isolate: false,
          include: ["{examples,e2e,bench}/**/*.test.ts"],
          exclude: [...exclude, ...alone],
        },
      },
      {
        test: {
          ...limits,
          name: "alone",
          include: alone,
          exclude,
        },
      },
    ],
  },
});
