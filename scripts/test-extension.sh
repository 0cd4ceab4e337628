#!/usr/bin/env bash
# Types and unit tests of the VS Code extension, and a build that must give the VSIX that ships.
set -euo pipefail
cd "$(dirname "$0")/.."
# The Node of the VS Code tests: the machine's own may be too old or missing.
node_folder=$(scripts/install-vscode.sh | tail -1)
export PATH="$node_folder/bin:$PATH"
shipped=$(sha256sum src/stoker/vscode/stoker.vsix)
cd extension
npm ci --no-audit --no-fund --silent
npm run --silent check
npm run --silent test
npm run --silent vsix >/dev/null
cd ..
built=$(sha256sum src/stoker/vscode/stoker.vsix)
if [ "$shipped" != "$built" ]; then
  echo "test-extension: the sources give a different VSIX from the one that ships; commit the new one." >&2
  exit 1
fi
