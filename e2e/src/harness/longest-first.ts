import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Files that take longest, longest first: begun last they would leave a core idle at the end of a run. */
const LONGEST = [
  "e2e/src/crash/pglite-story.test.ts",
  "e2e/src/walk/seed-walk.test.ts",
  "e2e/src/crash/postgres-story.test.ts",
  "e2e/src/distributed/distributed.test.ts",
  "e2e/src/bad-input/bad-input.test.ts",
  "examples/dryrun-live-switch/smoke.test.ts",
  "examples/world-gating/smoke.test.ts",
  "examples/intent-first-two-worlds/smoke.test.ts",
  "e2e/src/models/gate-model.test.ts",
  "services/embedded/src/backup/backup.test.ts",
  "cli/src/project/scaffolds.test.ts",
];

/** The order of a run of all tests: the longest files, then as Vitest has it. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = (file: TestSpecification): number => {
      const at = LONGEST.findIndex((path) => file.moduleId.endsWith(path));
      return at < 0 ? LONGEST.length : at;
    };
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}
