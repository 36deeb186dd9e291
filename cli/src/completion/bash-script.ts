import { allCommands, type CompletionCommand } from "./completion-tree.ts";
import type { CompletionValue } from "./completion-value.ts";

/**
 * The completion of a program for bash 3.2 and newer. It walks over the words before the cursor with three tables, and
 * starts no process, so it answers at once.
 */
export function bashScript(program: CompletionCommand): string {
  const commands = allCommands(program);
  const name = program.name;
  return `# bash completion of ${name}; printed by \`${name} completion bash\`

# The commands below a command.
_${name}_commands() {
  case $1 in
${commands
  .filter((each) => each.commands.length > 0)
  .map((each) => row(quote(each.path), each.commands.map((sub) => sub.name).join(" ")))
  .join("\n")}
    *) REPLY= ;;
  esac
}

# The options of a command.
_${name}_options() {
  case $1 in
${commands
  .map((each) => row(quote(each.path), flagsOf(each, program)))
  .filter((line) => !line.endsWith('REPLY="" ;;'))
  .join("\n")}
    *) REPLY= ;;
  esac
  REPLY="$REPLY ${flagsOf(program)}"
}

# What the value of an option, or the argument of a number, may be: "command|option" or "command|number".
_${name}_value() {
  case $1 in
${commands.flatMap(valueRows).join("\n")}
    *) REPLY= ;;
  esac
}

${walk(name)}
complete -F _${name} ${name}
`;
}

const quote = (text: string): string => `"${text}"`;
const row = (pattern: string, reply: string): string => `    ${pattern}) REPLY="${reply}" ;;`;
/** Flags of a command, without those that every command has. */
function flagsOf({ options }: CompletionCommand, program?: CompletionCommand): string {
  const global = new Set(program?.options.map(({ flag }) => flag));
  const flags = options.map(({ flag }) => flag);
  return flags.filter((flag) => !global.has(flag)).join(" ");
}

function valueRows({ path, options, arguments: args }: CompletionCommand): string[] {
  const ofOptions = options.flatMap(({ flag, value }) => {
    if (value === undefined) return [];
    // Every command takes the options of the program.
    return [row(path === "" ? `*"|${flag}"` : quote(`${path}|${flag}`), replyOf(value))];
  });
  const ofArguments = args.map(({ value, isLast }, index) => {
    const place = isLast ? `"${path}|"*` : quote(`${path}|${index + 1}`);
    return row(place, replyOf(value));
  });
  return [...ofOptions, ...ofArguments];
}

const replyOf = (value: CompletionValue): string =>
  "values" in value ? `${value.kind} ${value.values.join(" ")}` : value.kind;

/** The function that walks over the words and answers. A word `--option=value` may come as one word or as three. */
function walk(name: string): string {
  return `_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path= wanted= count=0 ended= prefix= word line i REPLY
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $wanted ]]; then
      [[ $word == = ]] || wanted=
    elif [[ -z $ended && $word == -- ]]; then
      ended=1
    elif [[ -z $ended && $word == -* ]]; then
      [[ $word == *=* ]] || { _${name}_value "$path|$word"; wanted=$REPLY; }
    else
      _${name}_commands "$path"
      if [[ " $REPLY " == *" $word "* ]]; then path="\${path:+$path }$word"; else count=$((count + 1)); fi
    fi
  done
  if [[ -n $wanted ]]; then
    [[ $cur == = ]] && cur=
    REPLY=$wanted
  elif [[ -z $ended && $cur == -*=* ]]; then
    prefix=\${cur%%=*}=
    _${name}_value "$path|\${cur%%=*}"
    cur=\${cur#*=}
  elif [[ -z $ended && $cur == -* ]]; then
    _${name}_options "$path"
    REPLY="words $REPLY"
  else
    _${name}_commands "$path"
    if [[ -n $REPLY && $count -eq 0 ]]; then REPLY="words $REPLY"; else _${name}_value "$path|$((count + 1))"; fi
  fi
  local found
  case $REPLY in
    files) found=$(compgen -f -- "$cur") && compopt -o filenames 2>/dev/null ;;
    folders) found=$(compgen -d -- "$cur") && compopt -o filenames 2>/dev/null ;;
    words\\ *) found=$(compgen -W "\${REPLY#words }" -- "$cur") ;;
    list\\ *)
      [[ $cur == *,* ]] && prefix=$prefix\${cur%,*},
      found=$(compgen -W "\${REPLY#list }" -- "\${cur##*,}") && compopt -o nospace 2>/dev/null
      ;;
    *) return ;;
  esac
  [[ -n $found ]] && while IFS= read -r line; do COMPREPLY+=("$prefix$line"); done <<<"$found"
}`;
}
