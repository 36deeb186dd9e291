/** A command of the original system's workflow guide, and the line that does the same here. */
export interface SeedCommand {
  /** Section of the guide. */
  readonly section: string;
  readonly original: string;
  readonly here: string;
  /** True when it runs until Ctrl-C. @default it ends by itself, with exit code 0 */
  readonly stays?: true;
}

/** Every command of the guide, in its order. A line of `python` is the text of a strategy or a test: see the walk. */
export const seedCommands = [
  { section: "0", original: "uv venv", here: "npm init -y" },
  { section: "0", original: "uv pip install -e .[dev]", here: "npm install ../packages/*.tgz" },
  {
    section: "1",
    original: "qmtl project list-presets --show-legacy-templates",
    here: "npx qmtl project list-presets --show-legacy-templates",
  },
  {
    section: "1",
    original: "qmtl project init --path my_qmtl_project --strategy branching --with-sample-data",
    here: "npx qmtl project init --path my_qmtl_project --strategy branching --with-sample-data --packages ../packages",
  },
  { section: "1", original: "cd my_qmtl_project", here: "cd my_qmtl_project && npm install" },
  { section: "2", original: "python strategy.py", here: "npm start" },
  { section: "2", original: "Runner.offline()", here: "npx qmtl run strategy.ts" },
  { section: "2a", original: "ls -R my_qmtl_project | head", here: "ls -R . | head -40" },
  {
    section: "2a",
    original: "reinstall via uv pip install -e .[dev]",
    here: "npm install && npx qmtl doctor --json",
  },
  { section: "4", original: "qmtl service gateway", here: "npx qmtl service gateway", stays: true },
  {
    section: "4",
    original: "qmtl service dagmanager server",
    here: "npx qmtl service dagmanager server",
    stays: true,
  },
  {
    section: "4",
    original: "qmtl service gateway --config qmtl/examples/qmtl.yml",
    here: "npx qmtl service gateway --config qmtl.yml",
    stays: true,
  },
  {
    section: "4",
    original: "qmtl service dagmanager server --config qmtl/examples/qmtl.yml",
    here: "npx qmtl service dagmanager server --config qmtl.yml",
    stays: true,
  },
  { section: "5", original: "uv run -m pytest -W error -n auto", here: "npm test" },
  {
    section: "5",
    original: "uv pip wheel . & uv run -m pytest -W error -n auto; wait",
    here: "(npm pack & npm run typecheck && wait)",
  },
] as const satisfies readonly SeedCommand[];

/** A line that does here what a command of the guide does. */
export type SeedLine = (typeof seedCommands)[number]["here"];
