import { catalogue } from "@qmtl/core/nodes";
import { BuiltinNode, type BuiltinOptions } from "./builtin-node.ts";
import { invalid } from "./declaration-error.ts";
import { nearestOf } from "./option-keys.ts";
import type { Series, StrategyNode } from "./strategy-node.ts";

/**
 * Picks one column of a node that has several, for example `column(bars, "close")`.
 *
 * @param node node with the column, such as a `StreamInput`
 * @param name name of the column; one that the node does not have is an error of the compiler, too
 * @param options name of the node and what it does where an input bucket is missing
 * @returns a node of that column alone, in its own unit; NaN where the column has no value
 * @throws {DeclarationError} `INVALID_FIELD` for a column the node does not have, naming the nearest one.
 */
export function column<Column extends string>(
  node: StrategyNode<Column>,
  name: NoInfer<Column>,
  options?: BuiltinOptions,
): BuiltinNode<{ readonly column: string }, "value"> {
  const names: readonly string[] = node.outputs;
  if (!names.includes(name)) throw unknownColumn("column.column", name, node);
  const params = { column: name };
  return new BuiltinNode(catalogue.column, [node], params, params, options);
}

/**
 * All columns of a node by name, for example `const { high, low, close } = columns(bars)`. A column that nothing reads
 * costs nothing: only nodes that are added to the strategy, and those they read, are computed.
 *
 * @param node node with the columns, such as a `StreamInput`
 * @returns a node of each column alone, as {@link column} makes them
 * @throws {DeclarationError} `INVALID_FIELD` when a column is read that the node does not have, naming the nearest one.
 */
export function columns<Column extends string>(
  node: StrategyNode<Column>,
): { readonly [Name in Column]: Series } {
  const entries = node.outputs.map((name) => [name, column<string>(node, name)]);
  const byName = Object.fromEntries(entries) as { readonly [Name in Column]: Series };
  return new Proxy(byName, {
    get(found, name, receiver): unknown {
      if (typeof name === "symbol" || name in found) return Reflect.get(found, name, receiver);
      throw unknownColumn("columns", name, node);
    },
  });
}

function unknownColumn(field: string, name: string, { outputs }: StrategyNode) {
  const fix = nearestOf(name, outputs, "it has");
  return invalid(field, `"${name}" is not a column of the node; ${fix}`);
}
