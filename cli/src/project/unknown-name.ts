import { nearestName } from "@qmtl/sdk/config";
import { ProjectError, type ProjectErrorReason } from "./project-error.ts";

/** Refusal of an unknown name: gives the known names, the nearest one, and the command that lists them. */
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
