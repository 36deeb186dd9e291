import {
  allCommands,
  type CompletionArgument,
  type CompletionCommand,
  type CompletionOption,
} from "./completion-tree.ts";
import type { CompletionValue } from "./completion-value.ts";

/** The completion of a program for fish 3 and newer; no process is started. */
export function fishScript(program: CompletionCommand): string {
  const { name } = program;
  const commands = allCommands(program);
  const withValue = commands.flatMap(({ path, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .map(({ flag }) => text(`${path === "" ? "*" : path}|${flag}`)),
  );
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => text(path));
  return `# fish completion of ${name}; printed by \`${name} completion fish\`

# The command so far, and how many arguments it has: "project init" and 0.
function __${name}_place
    set -l words (commandline -opc)
    set -e words[1]
    set -l path ''
    set -l count 0
    set -l skips 0
    for word in $words
        if test $skips -eq 1
            set skips 0
            continue
        end
        switch "$path|$word"
            case ${withValue.join(" ")}
                set skips 1
            case '*|-*'
            case '*'
                set -l longer (string trim -- "$path $word")
                if contains -- $longer ${paths.join(" ")}
                    set path $longer
                else
                    set count (math $count + 1)
                end
        end
    end
    echo $path
    echo $count
end

function __${name}_in
    set -l place (__${name}_place)
    test "$place[1]" = "$argv[1]"
end

function __${name}_argument
    set -l place (__${name}_place)
    test "$place[1]" = "$argv[1]" -a "$place[2]" = "$argv[2]"
end

complete -c ${name} -f
${program.options.map((option) => optionLine(name, "", option)).join("\n")}
${commands.flatMap((command) => commandLines(name, command)).join("\n")}
`;
}

function commandLines(name: string, command: CompletionCommand): string[] {
  const { path, options, commands, arguments: args } = command;
  const here = ` -n ${text(`__${name}_in ${text(path)}`)}`;
  const first = ` -n ${text(`__${name}_argument ${text(path)} 0`)}`;
  return [
    ...commands.map((each) => `complete -c ${name}${first} -a ${each.name} -d ${text(each.about)}`),
    ...(path === "" ? [] : options.map((option) => optionLine(name, here, option))),
    ...args.flatMap((argument, index) => argumentLines(name, path, argument, index)),
  ];
}

function optionLine(name: string, here: string, option: CompletionOption): string {
  const { flag, about, value } = option;
  const long = `-l ${flag.replace(/^--/, "")}`;
  const takes = value === undefined ? "" : ` ${valueArgs(value, true)}`;
  return `complete -c ${name}${here} ${long}${takes} -d ${text(about)}`;
}

function argumentLines(
  name: string,
  path: string,
  { value, isLast }: CompletionArgument,
  index: number,
): string[] {
  if (value.kind === "any") return [];
  const where = isLast ? `__${name}_in ${text(path)}` : `__${name}_argument ${text(path)} ${index}`;
  return [`complete -c ${name} -n ${text(where)} ${valueArgs(value, false)}`];
}

/** Arguments for a value: `-x` requires one and offers no files, `-r -F` requires one and offers files. */
function valueArgs(value: CompletionValue, isOption: boolean): string {
  const needs = isOption ? "-x " : "";
  switch (value.kind) {
    case "words":
      return `${needs}-a ${text(value.values.join(" "))}`;
    case "list":
      return `${needs}-a ${text(`(__fish_append , ${value.values.join(" ")})`)}`;
    case "files":
      return isOption ? "-r -F" : "-F";
    case "folders":
      return `${needs}-a ${text("(__fish_complete_directories (commandline -ct))")}`;
    case "any":
      return "-x";
  }
}

/** A text in single quotes. */
const text = (value: string): string => `'${value.replaceAll(/[\\']/g, "\\$&")}'`;
