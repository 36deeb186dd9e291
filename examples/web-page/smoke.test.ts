import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { openBrowser, type TestBrowser } from "../smoke/browser.ts";
import { chromiumTool } from "../smoke/chromium-tool.ts";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { freePorts } from "../smoke/free-ports.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

describeWithTool("a page in the browser", chromiumTool(), (program) => {
  let example: ExampleProject;
  let browser: TestBrowser;
  let port = 0;
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    const origins = `["http://localhost:${port}"]`;
    example = await openExample("web-page", { QMTL__GATEWAY__WEB_ORIGINS: origins });
    await example
      .typeStaying("npx qmtl up                                              # stays")
      .waitFor(/ready/);
    await example.type("npx qmtl world create ops");
    const serve = "npx vite --host 127.0.0.1 --port 5173 --strictPort       # stays";
    await example.typeStaying(serve, { "5173": `${port}` }).waitFor(/ready/);
    browser = await openBrowser(program);
  });
  afterAll(async () => {
    await browser?.[Symbol.asyncDispose]();
    await example?.[Symbol.asyncDispose]();
  });

  const open = (host: string) =>
    browser.open(`http://${host}:${port}/?gateway=${encodeURIComponent(example.webUrl)}`);

  test("lists the worlds, and shows the gate of one as it changes", async () => {
    await using page = await open("localhost");
    await page.waitForText("#worlds", /ops\s+wall\s+none/);

    await page.run(`document.getElementById("world").value = "ops";
      document.getElementById("watch").requestSubmit();`);
    await page.waitForText("#events", /snapshot: gate open, fence 1, revision 1/);
    await example.type('npx qmtl world freeze ops --reason "to see it"');
    await page.waitForText(
      "#events",
      /freeze: gate closing, fence 2, revision 2, held: manual \(to see it\)/,
    );

    expect(await page.text("#problem")).toBe("");
    expect(example.untyped()).toEqual([]);
  });

  test("reads the reason of a refusal", async () => {
    await using page = await open("localhost");
    await page.waitForText("#worlds", /ops/);

    await page.run(`document.getElementById("world").value = "nowhere";
      document.getElementById("watch").requestSubmit();`);

    await page.waitForText("#problem", /refused WORLD_NOT_FOUND: there is no world nowhere/);
  });

  test("is told nothing by the same platform when it comes from an origin that is not named", async () => {
    await using page = await open("127.0.0.1");

    await page.waitForText("#problem", /no answer from .* gateway\.web_origins have http:\/\/127/);
    expect(await page.text("#worlds")).toBe("");
  });
});
