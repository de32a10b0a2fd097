# Says what zsh completes a line with: zsh -f tests/manual.zsh FOLDER LINE, with the completion in FOLDER. A shell of its own at a
# terminal of its own gets the line and a Tab. What matches is written to a file as the completion adds it, since what the terminal
# shows is laid out for people.

# In that shell.
if [[ -n $MATCHES ]]; then
    fpath=($FOLDER $fpath)
    autoload -Uz compinit
    compinit -u -D
    compadd() {
        # Calls that fill arrays (-O, -A, -D) add nothing yet.
        local argument
        for argument; do
            [[ $argument != (-|--) ]] || break
            if [[ $argument == -[OAD]* ]]; then builtin compadd "$@"; return; fi
        done
        local -a found
        builtin compadd -O found "$@"
        (($#found == 0)) || print -rl -- $found >>$MATCHES
        builtin compadd "$@"
    }
    complete-and-tell() {
        zle complete-word
        print -r -- "$BUFFER" >$MATCHES.done
    }
    zle -N complete-and-tell
    bindkey '^I' complete-and-tell
    # The line editor is there, so it takes a key.
    zle-line-init() { print ready }
    zle -N zle-line-init
    return
fi

zmodload zsh/zpty
export MATCHES=$(mktemp) FOLDER=$1
zpty shell zsh -f -i
zpty -w shell "PS1=; source ${(q)0:A}"
# What it has said so far is read up to this word.
zpty -r shell said '*ready*' || exit 1
zpty -w -n shell "$2"$'\t'
# The answer is there when the file is; what the terminal shows is read meanwhile, or the shell would wait for that.
integer turns=0
while [[ ! -s $MATCHES.done ]] && ((turns++ < 1000)); do
    zpty -r -t shell said || sleep 0.01
done
zpty -d shell
sort -u $MATCHES
rm -f $MATCHES $MATCHES.done
