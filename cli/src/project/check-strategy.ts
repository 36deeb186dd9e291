import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  ConfigError,
  identifyStrategy,
  loadConfig,
  loadStrategy,
  type QmtlConfig,
  StreamInput,
} from "@qmtl/sdk";
import { isInstalled } from "./check-structure.ts";
import type { ProjectCheck } from "./project-check.ts";
import type { Project } from "./read-project.ts";

/** Reads the configuration of a project and says what is wrong with it; then whether its data are there. */
export function checkConfig({ folder }: Project): {
  readonly config: QmtlConfig | undefined;
  readonly checks: readonly ProjectCheck[];
} {
  const name = existsSync(join(folder, "qmtl.yml")) ? "qmtl.yml" : "qmtl.yaml";
  if (!existsSync(join(folder, name))) return { config: undefined, checks: [] };
  try {
    const config = loadConfig({ path: join(folder, name) });
    const message = `${name} is good`;
    return { config, checks: [{ check: "config", status: "ok", message }, ...checkData(config)] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const checks = error.issues.map((issue): ProjectCheck => {
      const place = issue.line === undefined ? name : `${name}:${issue.line}:${issue.column}`;
      const { suggestion } = issue;
      const fix = suggestion === undefined ? "mend that line" : `did you mean ${suggestion}?`;
      const message = `${place}: ${issue.path === "" ? "" : `${issue.path}: `}${issue.message}`;
      return { check: "config", status: "error", message, fix };
    });
    return { config: undefined, checks };
  }
}

function checkData(config: QmtlConfig): ProjectCheck[] {
  const check = "data";
  const missing = Object.entries(config.sources).flatMap(([name, { file, history_file }]) =>
    [file, history_file]
      .filter((path) => path !== null && !existsSync(path))
      .map((path): ProjectCheck => {
        const message = `source ${name}: ${path} is not there`;
        const fix = "`npm run data` makes data/bars.csv; or name your own file in qmtl.yml";
        return { check, status: "warning", message, fix };
      }),
  );
  return missing.length > 0
    ? missing
    : [{ check, status: "ok", message: "the files of all sources are there" }];
}

/** Loads the strategy, names its nodes, and looks up in the configuration what they name. */
export async function checkStrategy(
  { folder }: Project,
  config: QmtlConfig | undefined,
): Promise<ProjectCheck[]> {
  const check = "strategy";
  const file = join(folder, "strategy.ts");
  if (!existsSync(file)) return [];
  try {
    const strategy = await loadStrategy(file);
    const { graph, targets } = identifyStrategy(strategy, { worldId: "validate" });
    const found = config === undefined ? [] : [...unknownNames(graph.nodes, targets, config)];
    if (targets.length !== 1)
      found.push({
        check,
        status: "error",
        message: `it declares ${targets.length} target positions, and a run needs one`,
        fix: "makeIntentFirstNodeset or PositionTargetNode declares one",
      });
    const message = `${strategy.name}: ${graph.nodes.length} nodes, all with ids`;
    return found.length > 0 ? found : [{ check, status: "ok", message }];
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const fix = isInstalled(folder)
      ? "mend strategy.ts, or what the message names"
      : "npm install, then look again";
    return [{ check, status: "error", message, fix }];
  }
}

type Identified = ReturnType<typeof identifyStrategy>;

function* unknownNames(
  nodes: Identified["graph"]["nodes"],
  targets: Identified["targets"],
  config: QmtlConfig,
): Generator<ProjectCheck> {
  const error = (message: string, fix: string): ProjectCheck => ({
    check: "strategy",
    status: "error",
    message,
    fix,
  });
  for (const { declared } of nodes) {
    const { node, name } = declared;
    if (node instanceof StreamInput && !Object.hasOwn(config.sources, node.source))
      yield error(`stream ${name} reads "${node.source}"`, "add it to sources: in qmtl.yml");
  }
  for (const { name, node } of targets) {
    const { instrument } = node;
    const accounts = Object.values(config.accounts);
    if (!Object.hasOwn(config.instruments, instrument))
      yield error(`${name} trades "${instrument}"`, "add it to instruments: in qmtl.yml");
    else if (!accounts.some((account) => account.instruments.includes(instrument)))
      yield error(`no account may trade "${instrument}"`, "add it to an account in qmtl.yml");
  }
}
