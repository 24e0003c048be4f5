#!/usr/bin/env bash
# Kills, crashes and damages, in numbers: the command and a live job killed at random moments, simulated jobs on a disk
# that loses power, with captures and with live sources, the files of sinks too, and the snapshot log and the journal
# crashed at each of their operations.
# Usage: scripts/crash.sh [--short] [KILLS [SEEDS [IMAGES]]]; by default 2,000 kills, 12,500 seeds for each of 8 jobs, and
# 1,000 images for each operation of the log. --short is 20, 20 and 40.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=2000 seeds=12500 images=1000
if [ "${1:-}" = --short ]; then
    kills=20 seeds=20 images=40
    shift
fi
kills="${1:-$kills}" seeds="${2:-$seeds}" images="${3:-$images}"
PELTON_IMAGES="$images" cargo test --release -p pelton --lib log:: -- --nocapture
PELTON_SEEDS="$seeds" cargo test --release -p pelton-tests --test all -- checkpoints:: journal:: --nocapture
PELTON_SEEDS="$((seeds / 8 + 8))" PELTON_FAULTS="$images" cargo test --release -p pelton-io --lib parts::tests::crashes -- --nocapture
PELTON_KILLS="$kills" cargo test --release -p pelton-cli --test cli a_replay_that_is_killed -- --nocapture
PELTON_KILLS="$kills" cargo test --release -p pelton-cli --test live
