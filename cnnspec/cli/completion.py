"""`cnnspec completion`: the script by which a shell completes the command line, and what it asks."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, Final

from cnnspec.cli.main import OK

if TYPE_CHECKING:
    from collections.abc import Sequence

SUMMARY = "print the script that lets bash, zsh or fish complete commands, options, files and names"
EXAMPLES = """examples:
  eval "$(cnnspec completion bash)"      in ~/.bashrc
  eval "$(cnnspec completion zsh)"       in ~/.zshrc, behind compinit
  cnnspec completion fish > ~/.config/fish/completions/cnnspec.fish
  cnnspec completion zsh > _cnnspec      in a folder of zsh's fpath

The script asks cnnspec itself what may stand next, so that it need not be made anew when cnnspec changes:
commands and options with their choices, .cnn files, run folders, data sets, the words of `explain`, and of
the file on the line its layers, the parameters of its network and the settings of its `train` block.
"""

BASH: Final = r"""# bash completion for cnnspec
_cnnspec() {
    local current=$2 line=${COMP_LINE:0:COMP_POINT} kind='' reply path
    local word=${line##*[[:blank:]]}
    local before=${word%"$current"}  # readline begins a new word at = and :
    local program=${1/#\~/$HOME}
    COMPREPLY=()
    while IFS= read -r reply; do
        if [[ -z $kind ]]; then
            kind=$reply
        else
            reply=${reply%%$'\t'*}
            COMPREPLY+=("${reply#"$before"}")
        fi
    done < <("$program" completion --line "$line" 2>/dev/null)
    current=${current/#\~\//$HOME/}
    case $kind in
        files*)
            local ending=${kind#files}
            compopt -o filenames
            while IFS= read -r path; do
                [[ -d $path || $path == *"${ending# }" ]] && COMPREPLY+=("$path")
            done < <(compgen -f -- "$current") ;;
        folders)
            compopt -o filenames
            while IFS= read -r path; do COMPREPLY+=("$path"); done < <(compgen -d -- "$current") ;;
    esac
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -F _cnnspec cnnspec
"""

ZSH: Final = r"""#compdef cnnspec
_cnnspec() {
    local kind='' reply value tab=$'\t'
    local -a closed open
    local -a asked=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    for reply in "${(@f)$("${(Q)words[1]}" completion --words "${(@)asked}" 2>/dev/null)}"; do
        if [[ -z $kind ]]; then
            kind=$reply
            continue
        fi
        value=${${reply%%$tab*}//:/\\:}
        if [[ $value == *= ]]; then
            open+=("$value:${reply#*$tab}")
        else
            closed+=("$value:${reply#*$tab}")
        fi
    done
    local found=1
    (( $#closed )) && _describe -t words word closed && found=0
    (( $#open )) && _describe -t names name open -S '' && found=0
    [[ $PREFIX == -*=* ]] && compset -P 1 '*='
    case $kind in
        files) _files && found=0 ;;
        files*) _files -g "*${kind#files }(-.)" && found=0 ;;
        folders) _files -/ && found=0 ;;
    esac
    return found
}
if [[ $funcstack[1] == _cnnspec ]]; then
    _cnnspec "$@"
else
    compdef _cnnspec cnnspec
fi
"""

FISH: Final = r"""# fish completion for cnnspec
function __cnnspec_complete
    set -l words (commandline -opc)
    set -l present (commandline -ct)
    set -l reply ($words[1] completion --words $words[2..-1] "$present" 2>/dev/null)
    for line in $reply[2..-1]
        echo $line
    end
    set -l before (string match -r '^-[^=]*=' -- "$present")
    set -l path (string replace -r '^-[^=]*=' '' -- "$present")
    switch "$reply[1]"
        case 'files .*'
            set -l ending (string replace 'files ' '' -- $reply[1])
            for file in (__fish_complete_path $path)
                set -l name (string split -f1 \t -- $file)
                if string match -q -- "*/" $name; or string match -q -- "*$ending" $name
                    echo "$before$file"
                end
            end
        case files
            printf '%s\n' "$before"(__fish_complete_path $path)
        case folders
            printf '%s\n' "$before"(__fish_complete_directories $path '')
    end
end
complete -c cnnspec -f -a '(__cnnspec_complete)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", nargs="?", choices=tuple(SCRIPTS), help="the shell to print the script for")
    parser.add_argument("--words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("--line", help=argparse.SUPPRESS)
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print a script; or what may stand at the end of a line, as the scripts ask it."""
    words = arguments.words if arguments.line is None else split(arguments.line)
    if words is not None:
        from cnnspec.cli._completing import complete

        print(complete(words).text(), end="")
        return OK
    if arguments.shell is None:
        arguments.usage_error("which shell is it for?\nhelp: cnnspec completion bash, zsh or fish")
    print(SCRIPTS[arguments.shell], end="")
    return OK


def split(line: str) -> Sequence[str]:
    """The words behind `cnnspec` of a line that ends in the midst of one, in quotes perhaps."""
    for closing in ("", "\\", '"', "'"):
        try:
            words = shlex.split(line + closing)
        except ValueError:
            continue
        begun = 1 + next((i for i, word in enumerate(words) if os.path.basename(word) == "cnnspec"), 0)
        present = [""] if not closing and (not line or line[-1].isspace()) else []
        return [*words[begun:], *present]
    return [""]
