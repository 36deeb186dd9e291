import { request } from "node:http";
import { expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";
import { openMetricsPage } from "./metrics-page.ts";

const metrics = createMetrics();
metrics.counter("calls_total", "Calls").inc({}, 3);

it("serves the metrics as text, and nothing else", async () => {
  const page = await openMetricsPage(0, metrics);
  try {
    const answer = await fetch(page.address);
    expect(answer.headers.get("content-type")).toContain("text/plain");
    expect(await answer.text()).toContain("calls_total 3");
    expect((await fetch(page.address.replace("/metrics", "/"))).status).toBe(404);
    expect((await fetch(page.address, { method: "POST" })).status).toBe(405);
  } finally {
    await page.close();
  }
});

it("is refused to a page of another site whose name was made to point here", async () => {
  const page = await openMetricsPage(0, metrics);
  try {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const call = request(page.address, { headers: { host: "evil.example" } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      });
      call.on("error", reject).end();
    });
    expect(status).toBe(403);
  } finally {
    await page.close();
  }
});

it("says that its port is taken, and frees it when it is closed, also twice", async () => {
  const page = await openMetricsPage(0, metrics);
  const port = Number(new URL(page.address).port);
  await expect(openMetricsPage(port, metrics)).rejects.toMatchObject({ reason: "PORT_TAKEN" });
  await Promise.all([page.close(), page.close()]);
  const again = await openMetricsPage(port, metrics);
  await again.close();
});
