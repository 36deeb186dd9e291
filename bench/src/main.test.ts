import type { PgliteHost } from "@qmtl/service-kit/db";
import { openTestPglite } from "@qmtl/service-kit/testing";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accountStartBench } from "./account-start.ts";
import { benchGroups } from "./bench-groups.ts";
import type { BenchRow } from "./bench-row.ts";
import { durableCommitBench } from "./durable-commit.ts";
import { fanOutBench } from "./fan-out.ts";
import { identityBench } from "./identity.ts";
import { orderPathBench } from "./order-path.ts";
import { missesOf, rowText } from "./print-rows.ts";
import { promotedWorldBench } from "./promoted-world.ts";
import { median, quantile } from "./samples.ts";
import { unaryServerBench } from "./unary-server.ts";

let host: PgliteHost;
beforeAll(async () => {
  host = await openTestPglite();
});
afterAll(() => host.close());

const small: Readonly<Record<string, () => Promise<BenchRow[]>>> = {
  identity: () => identityBench({ nodes: 50, samples: 3 }),
  store: () => durableCommitBench({ commits: 10, host }),
  server: () => unaryServerBench({ calls: 20, samples: 2 }),
  "fan-out": () => fanOutBench({ subscribers: 4, events: 3, samples: 2 }),
  "order-path": () => orderPathBench({ bars: 4, host }),
  apply: () => promotedWorldBench({ bars: 6, warmUps: 2 }),
  "account-start": () => accountStartBench({ entries: 60, tailEntries: 20, starts: 2, host }),
};

for (const [name, run] of Object.entries(small)) {
  test(`${name} rows have a name that is listed, a positive figure, samples and a limit`, async () => {
    const rows = await run();

    const listed = benchGroups.find((group) => group.names[0]!.startsWith(`${name}/`));
    expect(rows.map((row) => row.name)).toEqual(listed?.names);
    for (const row of rows) {
      expect(row.value).toBeGreaterThan(0);
      expect(row.samples).toBeGreaterThan(0);
      expect(row.unit).not.toBe("");
      expect(row.limit_name).toMatch(/^(≤ \d|none)/);
      expect(row.ratio_to_limit).toBeGreaterThanOrEqual(0);
      expect(rowText(row)).toContain(row.name);
    }
  });
}

test("a row beyond its limit, or without a figure, is a miss", () => {
  const row = { name: "a", value: 1, unit: "ms", samples: 1, limit_name: "≤ 1 ms" };
  const rows = [0, 1, 1.01, Number.NaN].map((ratio_to_limit) => ({ ...row, ratio_to_limit }));

  expect(missesOf(rows)).toEqual(rows.slice(2));
  expect(rowText(rows[2]!)).toContain("MISS");
});

test("quantiles are samples, by nearest rank", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(quantile([4, 3, 2, 1], 0.99)).toBe(4);
  expect(median([])).toBeNaN();
});
