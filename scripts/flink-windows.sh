#!/usr/bin/env bash
# Compares windows with triggers and allowed lateness with Apache Flink's, on random small jobs that run in both. Where they
# differ, a rule that is written down has to say why (bench/compare/flink/windows.py). Where Java or Flink is missing, it
# says so and succeeds.
# Usage: scripts/flink-windows.sh [--short] [JOBS [SEED]]; by default 200 of seed 1. --short is 20.
set -euo pipefail
cd "$(dirname "$0")/.."
jobs=200
if [ "${1:-}" = --short ]; then
    jobs=20
    shift
fi
jobs="${1:-$jobs}" seed="${2:-1}"
cargo build --quiet --manifest-path bench/compare/Cargo.toml -p flink-windows
python3 bench/compare/flink/windows.py --windows "${CARGO_TARGET_DIR:-bench/compare/target}/debug/flink-windows" \
    --jobs "$jobs" --seed "$seed"
