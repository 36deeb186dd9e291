import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pythonTool } from "../../examples/smoke/python-venv.ts";
import { describeWithTool } from "../../examples/smoke/suite-of-tool.ts";

const ledger = fileURLToPath(new URL("../vectors/figures_ledger.py", import.meta.url));

describeWithTool("the ledger of figures in Python", pythonTool(), (python) => {
  test("gives figures.json to the last digit", async () => {
    const options = { env: { PYTHONDONTWRITEBYTECODE: "1" } };

    const { stdout } = await promisify(execFile)(python, [ledger, "--check"], options);

    expect(stdout).toBe("");
  });
});
