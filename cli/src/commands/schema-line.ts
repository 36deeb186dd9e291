import { existsSync } from "node:fs";
import { join } from "node:path";

/** Name under which `qmtl.yml` finds its JSON schema beside it. */
export const schemaFileName = "qmtl.schema.json";

/** First line that tells editors where the schema is; empty where there is none beside the file. */
export function schemaLine(folder: string): string {
  if (!existsSync(join(folder, schemaFileName))) return "";
  return `# yaml-language-server: $schema=./${schemaFileName}\n`;
}
