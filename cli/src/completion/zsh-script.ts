import {
  allCommands,
  type CompletionArgument,
  type CompletionCommand,
  type CompletionOption,
  isNoneOf,
} from "./completion-tree.ts";
import type { CompletionValue } from "./completion-value.ts";

/** The completion of a program for zsh, one function per command; no process is started. */
export function zshScript(program: CompletionCommand): string {
  const { name, options } = program;
  const functions = allCommands(program).map((each) => functionOf(each, name, options));
  return `#compdef ${name}
# zsh completion of ${name}; printed by \`${name} completion zsh\`

${functions.join("\n\n")}

# Sourced, it registers itself; on the search path, it is called.
if [ "\${funcstack[1]}" = "_${name}" ]; then
  _${name} "$@"
else
  compdef _${name} ${name}
fi
`;
}

function functionOf(
  command: CompletionCommand,
  program: string,
  globals: readonly CompletionOption[],
): string {
  const { path, options, commands, arguments: args } = command;
  const all = path === "" ? options : [...options, ...globals.filter(isNoneOf(options))];
  const name = functionName(program, path);
  const specs = all.map(optionSpec);
  if (commands.length === 0) {
    return `${name}() {
  _arguments -S ${lines([...specs, ...args.map(argumentSpec)])}
}`;
  }
  const described = commands.map((each) => text(`${each.name}:${plain(each.about)}`));
  const branches = commands.map(
    (each) => `        ${each.name}) ${functionName(program, each.path)} && ret=0 ;;`,
  );
  return `${name}() {
  local curcontext="$curcontext" state line ret=1
  local -a commands
  typeset -A opt_args
  _arguments -C -S ${lines([...specs, text("1: :->command"), text("*:: :->arguments")])} && ret=0
  case $state in
    command)
      commands=(${lines(described)})
      _describe -t commands ${text(`${program} ${path} command`.replace("  ", " "))} commands && ret=0
      ;;
    arguments)
      case $line[1] in
${branches.join("\n")}
      esac
      ;;
  esac
  return ret
}`;
}

const functionName = (program: string, path: string): string =>
  `_${[program, ...path.split(" ").filter((each) => each !== "")].join("_").replaceAll("-", "_")}`;

const lines = (parts: readonly string[]): string =>
  parts.map((part) => `\\\n    ${part}`).join(" ");

/** A text in single quotes. */
const text = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;

/** A text within a specification: what separates its parts is escaped. */
const plain = (value: string): string => value.replaceAll(/[\\:[\]]/g, "\\$&");

function optionSpec({ flag, about, valueName, value }: CompletionOption): string {
  if (value === undefined) return text(`${flag}[${plain(about)}]`);
  return text(`${flag}=[${plain(about)}]:${plain(valueName)}:${actionOf(value, valueName)}`);
}

function argumentSpec({ name, value, isLast }: CompletionArgument, index: number): string {
  return text(`${isLast ? "*" : index + 1}:${plain(name)}:${actionOf(value, name)}`);
}

function actionOf(value: CompletionValue, name: string): string {
  switch (value.kind) {
    case "words":
      return `(${value.values.join(" ")})`;
    case "list":
      return ` _values -s , ${plain(name).replaceAll(/[^\w-]/g, "_")} ${value.values.join(" ")}`;
    case "files":
      return "_files";
    case "folders":
      return "_files -/";
    case "any":
      return " ";
  }
}
