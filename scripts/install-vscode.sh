#!/usr/bin/env bash
# Installs a real VS Code for the end-to-end tests: code-server (with its built-in Copilot Chat),
# the Node that it needs, and Chromium to drive it. Run it again and it does nothing.
# The last line that it prints is the folder, which holds bin/node and code-server:
# $STOKER_VSCODE, or ${XDG_CACHE_HOME:-~/.cache}/stoker/vscode.
set -euo pipefail

CODE_SERVER=4.139.1
NODE=24.21.0

case "$(uname -m)" in
  x86_64) arch=x64 ;;
  aarch64) arch=arm64 ;;
  *) echo "install-vscode: no Node for $(uname -m)" >&2; exit 1 ;;
esac

folder="${STOKER_VSCODE:-${XDG_CACHE_HOME:-$HOME/.cache}/stoker/vscode}"
complete="$folder/installed-$CODE_SERVER-node-$NODE"
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

debian_packages() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

debian_packages chromium fonts-dejavu-core libkrb5-dev build-essential pkg-config python3
command -v npm >/dev/null || debian_packages npm

if [ ! -f "$complete" ]; then
  # Another version, or a broken-off installation: neither is worth keeping.
  rm -rf "$folder/bin" "$folder/node" "$folder/node-npm" "$folder/code-server"
  npm install --silent --no-save --ignore-scripts --prefix "$folder/node" "node-linux-$arch@$NODE" >&2
  mkdir -p "$folder/bin"
  ln -sfn "../node/node_modules/node-linux-$arch/bin/node" "$folder/bin/node"
  # npm of this machine, run by this Node, so that one version builds and runs everything.
  npm install --silent --no-save --ignore-scripts --prefix "$folder/node-npm" npm@11.13.0 >&2
  for tool in npm npx; do
    ln -sfn "../node-npm/node_modules/npm/bin/$tool-cli.js" "$folder/bin/$tool"
  done
  export PATH="$folder/bin:$PATH"

  npm install --silent --no-save --ignore-scripts --prefix "$folder/code-server" "code-server@$CODE_SERVER" >&2
  cd "$folder/code-server/node_modules/code-server"
  # The headers of the Node above: what code-server compiles must match the Node that runs it.
  npm_config_nodedir="$folder/node/node_modules/node-linux-$arch" \
    npm_config_user_agent="npm/11 node/v$NODE linux $arch" \
    sh ./postinstall.sh >"$folder/postinstall.log" 2>&1 ||
    { tail -20 "$folder/postinstall.log" >&2; exit 1; }
  touch "$complete"
fi
echo "$folder"
