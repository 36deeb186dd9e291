import { checkConfig, checkStrategy } from "./check-strategy.ts";
import { checkLayers, checkPackages, checkStructure } from "./check-structure.ts";
import type { ProjectCheck } from "./project-check.ts";
import { readProject } from "./read-project.ts";

/**
 * Checks a project: its files, packages, configuration, data, layers and strategy. Changes nothing; the strategy's file
 * is imported and declares its nodes.
 *
 * @throws {ProjectError} `NOT_A_PROJECT`
 */
export async function validateProject(path: string): Promise<ProjectCheck[]> {
  const project = readProject(path);
  const { config, checks } = checkConfig(project);
  return [
    ...checkStructure(project),
    ...checkPackages(project),
    ...checks,
    ...checkLayers(project),
    ...(await checkStrategy(project, config)),
  ];
}
