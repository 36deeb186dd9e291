import { type ArrayExpression, type NewExpression, type Program, Visitor } from "oxc-parser";
import { literalValue } from "./literal-value.ts";
import type { TagFinding } from "./tag-finding.ts";

/** The option that holds tags, by the node that has it. */
const TAG_OPTIONS: Readonly<Record<string, string>> = {
  StreamInput: "tags",
  TagQueryNode: "queryTags",
};

/** The faults of tags written out in the options of nodes, in order of their place. */
export function checkNodeTags(program: Program): TagFinding[] {
  const findings: TagFinding[] = [];
  new Visitor({
    NewExpression: (made) => {
      const list = tagList(made);
      if (list !== undefined) findings.push(...checkList(list));
    },
  }).visit(program);
  return findings;
}

function tagList({ callee, arguments: [options] }: NewExpression): ArrayExpression | undefined {
  const option = callee.type === "Identifier" ? TAG_OPTIONS[callee.name] : undefined;
  if (option === undefined || options?.type !== "ObjectExpression") return undefined;
  for (const each of options.properties) {
    if (each.type === "SpreadElement" || each.key.type !== "Identifier") continue;
    if (each.key.name === option && each.value.type === "ArrayExpression") return each.value;
  }
  return undefined;
}

function checkList({ elements }: ArrayExpression): TagFinding[] {
  const seen = new Set<string>();
  return elements.flatMap((element): TagFinding[] => {
    if (element === null || element.type === "SpreadElement") return [];
    const tag = literalValue(element);
    if (typeof tag !== "string") return [];
    const at = element.start;
    if (!/^[A-Za-z0-9_.-]{1,100}$/.test(tag)) {
      const message = `"${tag}" must be 1..100 characters of A-Za-z0-9_.-`;
      return [{ rule: "tag-characters", message, at }];
    }
    if (seen.has(tag)) return [{ rule: "tag-duplicate", message: `"${tag}" comes twice`, at }];
    seen.add(tag);
    return [];
  });
}
