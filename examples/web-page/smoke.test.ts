import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { openBrowser, type TestBrowser, type TestPage } from "../smoke/browser.ts";
import { chromiumTool } from "../smoke/chromium-tool.ts";
import { type ExampleProject, openExample } from "../smoke/example-project.ts";
import { freePorts } from "../smoke/free-ports.ts";
import { describeWithTool } from "../smoke/suite-of-tool.ts";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const key = "a-key-for-this-test-alone";

describeWithTool("a page in the browser", chromiumTool(), (program) => {
  let example: ExampleProject;
  let browser: TestBrowser;
  let port = 0;
  beforeAll(async () => {
    [port = 0] = await freePorts(1);
    example = await openExample("web-page", {
      QMTL__GATEWAY__WEB_ORIGINS: `["http://localhost:${port}"]`,
      QMTL_API_KEY: key,
      QMTL__SECURITY__KEYS:
        "{ops: {principal: alice, role: operator, secret: {env: QMTL_API_KEY}}}",
    });
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
  /** Fills in an input and sends its form, as a person does. */
  const submit = (page: TestPage, input: string, text: string) =>
    page.run(`{
      const input = document.getElementById(${JSON.stringify(input)});
      input.value = ${JSON.stringify(text)};
      input.form.requestSubmit();
    }`);
  const openWithKey = async () => {
    const page = await open("localhost");
    await page.waitForText("#problem", /refused PRINCIPAL_UNKNOWN/);
    await submit(page, "key", key);
    await page.waitForText("#worlds", /ops\s+wall\s+none/);
    return page;
  };

  test("is refused without a key, lists the worlds with one, and shows a gate as it changes", async () => {
    await using page = await openWithKey();

    await submit(page, "world", "ops");
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
    await using page = await openWithKey();

    await submit(page, "world", "nowhere");

    await page.waitForText("#problem", /refused WORLD_NOT_FOUND: there is no world nowhere/);
  });

  test("may speak gRPC-Web, and reads status and details of a refusal", async () => {
    await using page = await openWithKey();

    // GetWorld of "nowhere": field 2, seven bytes.
    const answer = await page.run(`fetch("${example.webUrl}/qmtl.world.v1.WorldService/GetWorld", {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1", "grpc-timeout": "5S", authorization: "Bearer ${key}" },
      body: Uint8Array.from([0, 0, 0, 0, 9, 18, 7, ...new TextEncoder().encode("nowhere")]),
    }).then(async (response) => [...response.headers].map((each) => each.join(": ")).join("\\n") + await response.text())`);

    expect(answer).toMatch(/grpc-status: 5/);
    const [, details = ""] = /grpc-status-details-bin: ([\w+/=-]+)/.exec(String(answer)) ?? [];
    expect(Buffer.from(details, "base64").toString()).toContain("WORLD_NOT_FOUND");
  });

  test("is told nothing by the same platform when it comes from an origin that is not named", async () => {
    await using page = await open("127.0.0.1");

    await page.waitForText("#problem", /no answer from .* gateway\.web_origins have http:\/\/127/);
    expect(await page.text("#worlds")).toBe("");
  });
});
