import type { Manifest } from "@qmtl/embedded";

/** Summary of an archive as a JSON object. */
export function archiveJson(file: string, manifest: Manifest) {
  return {
    file,
    created_at: manifest.created_at,
    product_version: manifest.product_version,
    storage: manifest.storage,
    tables: manifest.tables.length,
    rows: rowsOf(manifest),
    has_config: manifest.entries.some(({ name }) => name === "config/qmtl.yml"),
    left_out: manifest.left_out,
  };
}

/** Summary of an archive for people, in one line. */
export function archiveWords(manifest: Manifest): string {
  const { storage, product_version: version, created_at: time, tables } = manifest;
  return `${rowsOf(manifest)} rows of ${tables.length} tables, as of ${time} (${storage} storage, version ${version})`;
}

function rowsOf({ tables }: Manifest): number {
  return tables.reduce((sum, { rows }) => sum + rows, 0);
}
