import { resolve } from "node:path";
import { loadConfig } from "@qmtl/sdk/config";

/**
 * The configuration file and the data files it names, there or not. Of a configuration that does not hold only itself.
 *
 * @param path as given with `--config`. @default `qmtl.yml` or `qmtl.yaml` of the working directory
 */
export function configFiles(path: string | undefined): string[] {
  const own = (path === undefined ? ["qmtl.yml", "qmtl.yaml"] : [path]).map((name) =>
    resolve(name),
  );
  return [...own, ...dataFiles(path)];
}

function dataFiles(path: string | undefined): string[] {
  try {
    const { sources } = loadConfig({ path });
    return Object.values(sources).flatMap(({ file, history_file }) =>
      history_file === null ? [file] : [file, history_file],
    );
  } catch {
    return []; // the run says what is wrong with it
  }
}
