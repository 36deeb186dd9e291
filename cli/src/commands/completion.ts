import { Argument, type Command } from "commander";
import type { GlobalOptions } from "../command-settings.ts";
import { printJson } from "../print.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

const MORE_HELP = `
Examples:
  qmtl completion bash
  qmtl completion fish > ~/.config/fish/completions/qmtl.fish

To install it:
  bash   add to ~/.bashrc:   eval "$(qmtl completion bash)"
  zsh    add to ~/.zshrc, after compinit:   eval "$(qmtl completion zsh)"
         or, on your $fpath:   qmtl completion zsh > ~/.zfunc/_qmtl
  fish   qmtl completion fish > ~/.config/fish/completions/qmtl.fish

A file is faster than eval: write it once, and again after an upgrade. Where qmtl is a package of the project, define
alias qmtl='npx qmtl' and install it in the same way. Commands, options, closed choices, files and the keys of qmtl.yml are
completed; names of worlds and strategies are not: only the platform knows them.`;

/** `qmtl completion SHELL`: prints a script that completes this program's command lines. */
export function addCompletionCommand(program: Command): void {
  program
    .command("completion")
    .description("print the completion script for a shell")
    .addArgument(new Argument("<shell>", "shell to print the script for").choices(SHELLS))
    .addHelpText("after", MORE_HELP)
    .action(async (shell: Shell, _options: unknown, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>();
      const { completionTree } = await import("../completion/completion-tree.ts");
      const script = (await rendererOf(shell))(completionTree(program));
      if (json) printJson({ shell, script });
      else console.log(script.trimEnd());
    });
}

async function rendererOf(shell: Shell) {
  switch (shell) {
    case "bash":
      return (await import("../completion/bash-script.ts")).bashScript;
    case "zsh":
      return (await import("../completion/zsh-script.ts")).zshScript;
    case "fish":
      return (await import("../completion/fish-script.ts")).fishScript;
  }
}
