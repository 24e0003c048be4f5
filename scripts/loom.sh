#!/bin/sh
# Runs the ring under every interleaving, and with planted mistakes that must be found.
# Prints the number of executions of each model. No preemption bound; a few minutes at most.
set -eu
cd "$(dirname "$0")/.."
unset LOOM_MAX_PREEMPTIONS
RUST_BACKTRACE=0 RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom" \
    cargo test --release -p pelton --lib loom_ -- --show-output "$@"
