#!/usr/bin/env bash
# Clean, compile, package and install the VS Code extension.
# With --no-install it stops after packaging. Needs Node 22 or later.
set -euo pipefail
cd "$(dirname "$0")/../extension"
node -e 'if (+process.versions.node.split(".")[0] < 22) { console.error("rebuild-extension: Node 22 or later is needed, this is " + process.version); process.exit(1); }'
rm -rf dist
npm ls >/dev/null 2>&1 || npm ci --no-audit --no-fund
npm run --silent check
npm run --silent vsix
[ "${1:-}" = --no-install ] && exit 0
cd .. && PYTHONPATH=src "${PYTHON:-python3}" -m stoker code --install-only
