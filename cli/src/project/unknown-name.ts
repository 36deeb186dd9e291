import { nearestName } from "@qmtl/sdk/config";
import { ProjectError, type ProjectErrorReason } from "./project-error.ts";

/** Refuses a name there is none of: those there are, the nearest one, the command that lists them. */
export function unknownName(
  reason: ProjectErrorReason,
  what: string,
  name: string,
  known: readonly string[],
  lister: string,
): ProjectError {
  const nearest = nearestName(name, known);
  const list = `\`${lister}\` describes each one`;
  return new ProjectError(
    reason,
    `no ${what} "${name}"; there are ${known.join(", ")}`,
    nearest === undefined ? list : `did you mean ${nearest}? ${list}`,
  );
}
