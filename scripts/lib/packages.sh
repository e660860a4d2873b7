# shellcheck shell=bash
# What building, testing and the demo need on a fresh Debian 12, and nothing else. Sourced by scripts/setup.

packages=(
  # the build
  cmake ninja-build g++ pkg-config ccache
  libfmt-dev libcli11-dev libzydis-dev libzycore-dev libxbyak-dev libmd-dev
  # the examples: clang makes BPF objects, bpftool their skeletons
  clang-14 bpftool libbpf-dev libelf-dev zlib1g-dev
  # the tests; the last two make programs that skep has to recognise
  libgtest-dev libgmock-dev binutils gdb strace musl-tools gcc-multilib
  # the clients that the tests run under skep: bcc with the headers that it compiles against, bpftrace, the CO-RE tools
  linux-headers-amd64
  python3-bpfcc
  bpfcc-tools
  bpftrace
  libbpf-tools
  # what the demo runs
  python3 dash util-linux
)

# Prints those that are not installed, one a line.
packages_missing() {
  local name
  for name in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || echo "$name"
  done
}

# Installs the packages named, as root or by sudo; says what to do when it is neither.
packages_install() {
  local as_root=()
  if [[ $EUID -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
      echo "setup: not root and no sudo; let root do: apt-get install $*" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "setup: installing $*" >&2
  local log status=0
  log=$(mktemp)
  { "${as_root[@]}" apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } >"$log" 2>&1 || status=$?
  [[ $status -eq 0 ]] || cat "$log" >&2
  rm -f "$log"
  return "$status"
}
