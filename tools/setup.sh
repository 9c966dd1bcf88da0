# Installs and builds. Sourced by ./run, in the root of the repository.

BUILD_PACKAGES="cmake ninja-build g++ ccache pkg-config python3 python3-venv python3-dev zlib1g-dev libsnappy-dev
  liblz4-dev libzstd-dev libisal-dev libxxhash-dev libssl-dev libboost1.81-dev libexpected-dev nlohmann-json3-dev
  libcli11-dev libgtest-dev librapidcheck-dev"
TEST_PACKAGES="clang-16 clang-format-16 clang-tidy-16 libclang-rt-16-dev libbenchmark-dev librdkafka-dev kcat maven
  openjdk-17-jre-headless"
PYTHON="$PWD/.venv/bin/python"
export CCACHE_BASEDIR="$PWD" CCACHE_NOHASHDIR=1  # one compilation serves every preset and folder with the same flags

say() { printf '%s\n' "$*" >&2; }

# need_packages build [test]: installs what is missing when root, and otherwise says what to type.
need_packages() {
  command -v dpkg-query > /dev/null || { say "This is not Debian: trusting that the packages are there."; return 0; }
  local wanted="$BUILD_PACKAGES" missing="" package
  case " $* " in *" test "*) wanted="$wanted $TEST_PACKAGES" ;; esac
  local installed
  installed=" $(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2> /dev/null | sed -n 's/^ii *//p' | tr '\n' ' ')"
  for package in $wanted; do
    case "$installed" in *" $package "*) ;; *) missing="$missing $package" ;; esac
  done
  [ -z "$missing" ] && return 0
  if [ "$(id -u)" != 0 ]; then
    say "Packages are missing. Please type:"
    say "  sudo apt-get install -y$missing"
    return 1
  fi
  say "Installing$missing"
  mkdir -p build
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } \
    > build/install.log 2>&1 || { tail -20 build/install.log >&2; return 1; }
}

# A Python environment with the clients and tools of tools/requirements.txt.
need_python() {
  local stamp=.venv/requirements.txt
  cmp -s tools/requirements.txt "$stamp" && return 0
  say "Preparing .venv"
  mkdir -p build
  # One that was interrupted while it was made has no pip: it is made anew.
  { { "$PYTHON" -m pip --version || python3 -m venv --clear .venv; } &&
    "$PYTHON" -m pip install -q -r tools/requirements.txt; } > build/venv.log 2>&1 ||
    { tail -20 build/venv.log >&2; return 1; }
  cp tools/requirements.txt "$stamp"
}

# build PRESET [TARGET]...: with progress on a terminal, otherwise silent unless it fails.
build() {
  local preset="$1" log="build/$1.log"
  shift
  mkdir -p build
  if [ ! -f "build/$preset/build.ninja" ]; then
    cmake --preset "$preset" > "$log" 2>&1 || { tail -20 "$log" >&2; return 1; }
  fi
  if [ -t 2 ] && [ "${CI:-}" = "" ]; then
    NINJA_STATUS="[$preset %f/%t %es] " cmake --build --preset "$preset" ${@:+--target "$@"} >&2
  else
    cmake --build --preset "$preset" ${@:+--target "$@"} > "$log" 2>&1 || { grep -E -A5 'error|FAILED' "$log" >&2; return 1; }
  fi
}
