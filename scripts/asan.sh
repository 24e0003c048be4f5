#!/bin/sh
# The unit tests of the engine and of input and output under AddressSanitizer.
# Usage: scripts/asan.sh [test filter and options]
set -eu
cd "$(dirname "$0")/.."
RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address \
    cargo test --target x86_64-unknown-linux-gnu --target-dir "${CARGO_TARGET_DIR:-target}/asan" \
    ${PACKAGES:--p pelton -p pelton-io} --lib -- "$@"
