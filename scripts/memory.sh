#!/usr/bin/env bash
# Replays generated trades and prints the resident memory ten times on the way: it must be flat.
# Anonymous memory is the engine's own; file pages are the mapped capture, which the kernel may take back.
# Usage: scripts/memory.sh [EVENTS] [WORKERS]; by default 100,000,000 and 1.
set -euo pipefail
cd "$(dirname "$0")/.."
events="${1:-100000000}"
workers="${2:-1}"
cargo build --release --quiet -p pelton-cli
pelton="${CARGO_TARGET_DIR:-target}/release/pelton"
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
"$pelton" generate trades --events "$events" --keys 10000 --seed 7 --disorder 5ms "$dir/trades.pelton"
"$pelton" replay "$dir/trades.pelton" --job bars --window 1s --out-of-orderness 5ms --workers "$workers" \
    --out "$dir/bars.csv" 2>"$dir/report" &
replay=$!
while sleep 0.4 && kill -0 "$replay" 2>/dev/null; do
    awk '/^Rss(Anon|File)/ {printf "%s %d KiB  ", $1, $2} END {print ""}' "/proc/$replay/status" 2>/dev/null || true
done
wait "$replay"
cat "$dir/report"
