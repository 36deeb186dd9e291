import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pythonTool } from "../../examples/smoke/python-venv.ts";
import { describeWithTool } from "../../examples/smoke/suite-of-tool.ts";

const scripts = [
  ["figures_ledger.py", "figures.json"],
  ["portfolio_ledger.py", "portfolio-ledger.json"],
] as const;

describeWithTool("a ledger in Python", pythonTool(), (python) => {
  test.each(scripts)("%s gives %s to the last digit", async (script) => {
    const ledger = fileURLToPath(new URL(`../vectors/${script}`, import.meta.url));
    const options = { env: { PYTHONDONTWRITEBYTECODE: "1" } };

    const { stdout } = await promisify(execFile)(python, [ledger, "--check"], options);

    expect(stdout).toBe("");
  });
});
