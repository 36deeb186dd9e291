import type { Argument, Command, Option } from "commander";
import { closedChoices } from "./closed-choices.ts";
import type { CompletionValue } from "./completion-value.ts";

export interface CompletionOption {
  /** Such as `--world`. */
  readonly flag: string;
  readonly about: string;
  /** What the value is called; empty for an option without one. */
  readonly valueName: string;
  /** Absent for an option without a value. */
  readonly value?: CompletionValue;
}

export interface CompletionArgument {
  readonly name: string;
  readonly value: CompletionValue;
  /** Takes this word and all after it. */
  readonly isLast: boolean;
}

/** A command as completion sees it: what its help shows, without what is hidden. */
export interface CompletionCommand {
  readonly name: string;
  /** Names from below the program down, separated by blanks; empty for the program itself. */
  readonly path: string;
  readonly about: string;
  /** Its own options; every command also takes those of the program. */
  readonly options: readonly CompletionOption[];
  readonly commands: readonly CompletionCommand[];
  readonly arguments: readonly CompletionArgument[];
}

/**
 * The tree of a command and those below it.
 *
 * @param path of the command, empty for the program
 * @param inherited options of the groups it is in, which may stand after it as well
 */
export function completionTree(
  command: Command,
  path = "",
  inherited: readonly CompletionOption[] = [],
): CompletionCommand {
  const help = command.createHelp();
  const isProgram = command.parent === null;
  const own = help.visibleOptions(command).map((option) => optionOf(option, path));
  const options = [...own, ...inherited.filter(isNoneOf(own))];
  return {
    name: command.name(),
    path,
    about: command.description(),
    options,
    commands: help
      .visibleCommands(command)
      // The help lists a `help COMMAND` that is not one of the commands.
      .filter((each) => command.commands.includes(each))
      .map((each) =>
        isProgram
          ? completionTree(each, each.name())
          : completionTree(each, `${path} ${each.name()}`, options),
      ),
    arguments: command.registeredArguments.map((argument) => argumentOf(argument, path)),
  };
}

/** The options that are not among others, by their flag. */
export function isNoneOf(
  others: readonly CompletionOption[],
): (option: CompletionOption) => boolean {
  return ({ flag }) => others.every((each) => each.flag !== flag);
}

/** A command and all below it, parents first. */
export function allCommands(command: CompletionCommand): CompletionCommand[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

function optionOf(option: Option, path: string): CompletionOption {
  const flag = option.long ?? option.short ?? "";
  const about = option.description;
  if (!option.required && !option.optional) return { flag, about, valueName: "" };
  const valueName = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1]?.replace("...", "") ?? "value";
  const value = completionValue(option.argChoices, `${path} ${flag}`.trim(), valueName);
  return { flag, about, valueName, value };
}

function argumentOf(argument: Argument, path: string): CompletionArgument {
  const name = argument.name();
  const value = completionValue(argument.argChoices, `${path} <${name}>`, name);
  return { name, value, isLast: argument.variadic };
}

/** How a value is completed: by choices that the command states, else those known for its place, else by its name. */
function completionValue(
  stated: readonly string[] | undefined,
  place: string,
  name: string,
): CompletionValue {
  if (stated !== undefined) return { kind: "words", values: stated };
  const known = closedChoices()[place];
  if (known !== undefined) return known;
  if (/^(file|files|record)$/.test(name)) return { kind: "files" };
  return { kind: /^(folder|path|dir)$/.test(name) ? "folders" : "any" };
}
