# shellcheck shell=bash
# Configures and builds; sourced by the scripts beside this directory after they set `top`.
# shellcheck disable=SC2154

# build_preset PRESET [TARGET...]: quiet but for what went wrong
build_preset() {
  local preset=$1 log
  shift
  log=$(mktemp)
  if ! { cmake -S "$top" --preset "$preset" && cmake --build "$top/build/$preset" "${@/#/--target=}"; } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "building build/$preset failed" >&2
    return 1
  fi
  rm -f "$log"
}

# heading TEXT: a line that can be found again in a long output
heading() { printf '\n== %s\n' "$*"; }
