#!/bin/sh
# Moves events between two threads under ThreadSanitizer; a data race fails the run.
# Usage: scripts/tsan.sh [millions of events, 2]
set -eu
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
dir="${CARGO_TARGET_DIR:-target}/tsan"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
    cargo build --release --target "$target" --target-dir "$dir" -p pelton --example ring_race
# Small rings too: there the ends meet at every event.
for capacity in 1 2 16 256; do
    TSAN_OPTIONS="halt_on_error=1 exitcode=66" "$dir/$target/release/examples/ring_race" "${1:-2}" "$capacity"
done
