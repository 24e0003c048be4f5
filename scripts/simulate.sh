#!/usr/bin/env bash
# Steps the workers of each test job in seeded random order and compares the output with one worker's.
# Usage: scripts/simulate.sh [SEEDS]; by default 5,000 for each kind of job.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds="${1:-5000}"
PELTON_SEEDS="$seeds" cargo test --profile campaign -p pelton-tests --test all order::workers_stepped -- --nocapture
