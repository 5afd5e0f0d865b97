#!/bin/sh
# Install the packages of a lock file into a virtual environment, and show how many have arrived:
# install.sh ENVIRONMENT LOCK
set -eu
environment=$1
lock=$2
failed="$environment/failed"
touch "$failed" # because a pipeline ends with the exit code of its last command
{
  # Python compiles what it uses when it does.
  "$environment/bin/pip" install --disable-pip-version-check --no-compile --require-hashes \
    -r "$lock" && rm "$failed"
} | awk -v total="$(grep -c '^[a-z0-9].*==' "$lock")" -v terminal="$(test -t 1 && echo 1 || true)" '
  # Those for other systems are ignored. Those in a local folder are processed.
  /^(Collecting|Processing|Ignoring) / {
    count++
    if (terminal) printf "\r  %d of %d packages", count, total
    else if (count % 20 == 0 || count == total) printf "  %d of %d packages\n", count, total
    fflush()
  }
  /^Installing collected packages/ {
    printf "%s  Unpacking them\n", terminal ? "\n" : ""
    fflush()
  }'
test ! -e "$failed"
