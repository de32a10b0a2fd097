#!/usr/bin/env bash
# Makes the manual pages and completions that packages carry, and lets those read them who will: man, mandoc and lexgrog the pages;
# bash, zsh and fish the completions, each of which completes real lines. tests/manual.sh [FOLDER]: of files that are there already,
# or it makes them in target/manual. Some seconds, once the command is built. What is missing is said, and left out; in CI it fails.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
folder=${1:-$target/manual}
if [ $# -eq 0 ]; then
    cargo build --quiet --features cli,manual --bin lockgate
    rm -rf "$folder"
    "$target/debug/lockgate" manual "$folder"
fi
tests/install.sh man=man-db mandoc=mandoc zsh=zsh fish=fish
folder=$(cd "$folder" && pwd)
here=$PWD
failed=0

fail() { echo "FAILED: $*" >&2; failed=1; }

# is_there PROGRAM: whether it is; if not, that is noted.
is_there() {
    command -v "$1" >/dev/null && return
    echo "left out: manual pages and completions: needs $1 (apt-get install ${1/#man/man-db})" | tee -a "$target/left-out.txt"
    return 1
}

pages=("$folder"/man/*)
if is_there man; then
    for page in "${pages[@]}"; do
        said=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null) || true
        [ -z "$said" ] || fail "man: $page: $said"
        # By this a page is found by its name and by what it says of itself (whatis, apropos).
        lexgrog "$page" >/dev/null || fail "lexgrog finds no name in $page"
        # What is to be typed is shown in characters that a shell takes.
        shown=$(LC_ALL=C.UTF-8 MANWIDTH=80 man -l -Tutf8 "$page" | col -b)
        ! grep -n '[‐−‘’´]' <<<"$shown" || fail "man: $page shows characters that no shell takes"
    done
fi
if is_there mandoc; then
    mandoc -T lint -W warning "${pages[@]}" || fail 'mandoc: see above'
fi

# The options that a command has, by the file that bash reads; its own test compares that with the tables.
commands=$(sed -n "s/^    '\([a-z -]*\)')$/\1/p" "$folder/bash/lockgate")
options_of() { sed -n "/^    '$1')$/,/options=/s/.*options='\(.*\)'/\1/p" "$folder/bash/lockgate" | tr ' ' '\n' | sort -u; }
[ "$(wc -l <<<"$commands")" -ge 6 ] || fail "too few commands: $commands"

# A folder with a file and a folder, whose names have to be quoted.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place/home" "$place/work/state of it"
cd "$place/work"
touch cert.pem 'my key.pem'

# Lines with what completes them. What a shell makes of a whole word, it makes alike.
cases=(
    'lockgate se|serve'
    'lockgate cert sh|show'
    'lockgate serve --field-na|--field-names'
    'lockgate serve --field-names ti|title'
    'lockgate serve --field-names=ti|title'
    'lockgate serve --http o|off'
    'lockgate serve --client-auth=op|optional'
    'lockgate serve --cert ce|cert.pem'
    'lockgate serve --cert=ce|cert.pem'
    'lockgate serve --cert cert.pem --key my|my key.pem'
    'lockgate serve --state s|state of it'
    'lockgate serve --state c|'
    'lockgate serve --idle-timeout c|'
    'lockgate serve c|'
    'lockgate cert show ce|cert.pem'
    'lockgate cert show cert.pem --key my|my key.pem'
    'lockgate cert ca --sta|--state'
    'lockgate check --config x.toml --idle-t|--idle-timeout'
    'lockgate check --source cert|cert.pem'
    'lockgate check --explain a|all'
)

# As readline calls it: words are split at = and :, and only the last piece is replaced.
bash_completes() {
    bash -c '
        source "$1"
        IFS=" " read -ra words <<<"$(sed -E "s/([=:])/ \1 /g" <<<"$2")"
        [[ $2 != *[\ =:] ]] || words+=("")
        [[ $2 != *= ]] || words=("${words[@]:0:${#words[@]}-1}")
        COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
        _lockgate lockgate "${words[-1]}" ""
        ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"
    ' bash "$folder/bash/lockgate" "$1" 2>&1
}
bash -n "$folder/bash/lockgate" || fail 'bash does not read its completion'
for case in "${cases[@]}"; do
    found=$(bash_completes "${case%%|*}")
    [ "$found" = "${case#*|}" ] || fail "bash: ${case%%|*} is completed by: $found"
done
while read -r command; do
    [ "$(bash_completes "lockgate $command --" | sort)" = "$(options_of "$command")" ] || fail "bash: options of $command"
done <<<"$commands"
# Who has taken = out of COMP_WORDBREAKS gives one word, and all of it is replaced.
found=$(bash -c 'source "$1"; COMP_WORDS=(lockgate serve --field-names=ti) COMP_CWORD=2; _lockgate; echo "$COMPREPLY"' bash \
    "$folder/bash/lockgate")
[ "$found" = --field-names=title ] || fail "bash: --field-names=ti as one word is completed by: $found"

if is_there zsh; then
    zsh -n "$folder/zsh/_lockgate" || fail 'zsh does not read its completion'
    for case in "${cases[@]}"; do
        found=$(zsh -f "$here/tests/manual.zsh" "$folder/zsh" "${case%%|*}" 2>&1) || true
        found=${found//\\/}
        [ "$found" = "${case#*|}" ] || fail "zsh: ${case%%|*} is completed by: $found"
    done
    while read -r command; do
        found=$(zsh -f "$here/tests/manual.zsh" "$folder/zsh" "lockgate $command --" 2>&1) || true
        [ "$found" = "$(options_of "$command")" ] || fail "zsh: options of $command: $found"
    done <<<"$commands"
fi

if is_there fish; then
    export HOME=$place/home XDG_CONFIG_HOME=$place/home/config XDG_DATA_HOME=$place/home/data
    fish --no-execute "$folder/fish/lockgate.fish" || fail 'fish does not read its completion'
    fish_completes() {
        fish --no-config --command 'source $argv[1]; complete -C $argv[2]' "$folder/fish/lockgate.fish" "$1" 2>&1 | cut -f 1
    }
    for case in "${cases[@]}"; do
        found=$(fish_completes "${case%%|*}")
        # It gives the whole word, and escapes it or ends a folder.
        found=${found#--*=} found=${found%/} found=${found//\\/}
        [ "$found" = "${case#*|}" ] || fail "fish: ${case%%|*} is completed by: $found"
    done
    while read -r command; do
        found=$(fish_completes "lockgate $command --" | sed 's/=$//' | sort -u)
        [ "$found" = "$(options_of "$command")" ] || fail "fish: options of $command: $found"
    done <<<"$commands"
fi

[ "$failed" -eq 0 ] || exit 1
echo "manual pages: ${#pages[@]}; lines completed in each shell: ${#cases[@]}, and the options of $(wc -l <<<"$commands") commands"
