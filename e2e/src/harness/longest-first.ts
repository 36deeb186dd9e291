import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Slowest test files, longest first: started last, they would leave a core idle at the end of a run. */
const LONGEST = [
  "e2e/src/walk/seed-walk.test.ts",
  "e2e/src/distributed/default-services.test.ts",
  "e2e/src/crash/pglite-story.test.ts",
  "e2e/src/mixed/mixed-versions.test.ts",
  "e2e/src/distributed/without-broker.test.ts",
  "e2e/src/distributed/standby.test.ts",
  "examples/go-client/smoke.test.ts",
  "services/embedded/src/roles.test.ts",
  "e2e/src/outages/outages.test.ts",
  "e2e/src/outages/hung-database.test.ts",
  "e2e/src/outages/lost-database.test.ts",
  "services/kit/src/db/pglite-crash.test.ts",
  "e2e/src/crash/postgres-story.test.ts",
  "e2e/src/conformance/conformance.test.ts",
  "e2e/src/distributed/distributed.test.ts",
  "services/dag-manager/src/two-processes.test.ts",
  "e2e/src/control/subscriber.test.ts",
  "examples/python-node/smoke.test.ts",
  "examples/python-client/smoke.test.ts",
];

/** Orders a run of all tests: the slowest files first, the others as Vitest orders them. */
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
