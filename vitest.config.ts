import { defineConfig } from "vitest/config";
import { LongestFirst } from "./e2e/src/harness/longest-first.ts";

const conditions = ["@qmtl/source", "module", "node", "development|production"];

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["{sdk-ts,services,cli,examples,e2e,bench}/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**", "**/fixtures/**"],
    globalSetup: ["e2e/src/harness/shared-servers.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});
