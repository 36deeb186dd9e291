// `npm run gen:python`, `npm run gen:go`: makes the stubs of another language, with the pinned generators of the cache
// folder, which are set up first if they are missing.
import { spawnSync } from "node:child_process";
import { goEnvironment, setUpGo } from "../examples/smoke/go-tool.ts";
import { pythonEnvironment, setUpPython } from "../examples/smoke/python-venv.ts";

const languages = {
  python: { setUp: setUpPython, environment: pythonEnvironment },
  go: { setUp: setUpGo, environment: goEnvironment },
};

const [, , name = ""] = process.argv;
if (name !== "python" && name !== "go") throw new Error("say python or go");
const { setUp, environment } = languages[name];
await setUp();
const { status } = spawnSync("buf", ["generate", "--template", `buf.gen.${name}.yaml`], {
  stdio: "inherit",
  env: { ...process.env, ...environment() },
});
process.exitCode = status ?? 1;
