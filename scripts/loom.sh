#!/bin/sh
# Runs the ring under every interleaving, and with planted mistakes that must be found.
# Prints the number of executions of each model. No preemption bound; a few minutes at most.
set -eu
cd "$(dirname "$0")/.."
unset LOOM_MAX_PREEMPTIONS
# Nothing is inlined across crates here, so the costly part of a release build gains nothing.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
RUST_BACKTRACE=0 RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" \
    cargo test --release -p pelton --lib loom_ -- --show-output "$@"
