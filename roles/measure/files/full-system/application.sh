#!/bin/sh
# Runs what the seed says, one argument a line: the service of the instance's application.
set --
while IFS= read -r word || [ -n "$word" ]; do
    set -- "$@" "$word"
done < /run/vcompare-seed/command
exec "$@"
