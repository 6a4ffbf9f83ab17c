#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh find_package|pkg_config <build folder> <C++ compiler>
# Installs the build into a temporary folder, moves it (nothing in it may know where it was installed
# to), builds main.cpp against it and runs the result.
set -euo pipefail

way=$1
build=$2
compiler=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/installed" >"$work/install.log"
mv "$work/installed" "$work/prefix"

case $way in
  find_package)
    cmake -G Ninja -S "$here" -B "$work/build" -DCMAKE_BUILD_TYPE=Debug \
      -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log" ||
      { cat "$work/configure.log"; exit 1; }
    cmake --build "$work/build"
    "$work/build/consumer"
    ;;
  pkg_config)
    pc=$(find "$work/prefix" -name trunkline.pc)
    export PKG_CONFIG_PATH=${pc%/*}
    read -ra flags <<<"$(pkg-config --cflags trunkline)"
    read -ra libraries <<<"$(pkg-config --static --libs trunkline)"
    "$compiler" -std=c++23 -Wall "${flags[@]}" "$here/main.cpp" -o "$work/consumer" "${libraries[@]}"
    "$work/consumer"
    ;;
  *)
    echo "run.sh: find_package or pkg_config, not '$way'" >&2
    exit 2
    ;;
esac
"$work/prefix/bin/trunkline" --version
