#!/usr/bin/env bash
# Kills, crashes and damages, in numbers: programs killed at random moments, simulated jobs on a disk that loses power,
# with captures and with live sources, the files of sinks too, the snapshot log and the journal crashed at each of their
# operations, and each bit of a log flipped. Prints the totals of all in the end.
# Usage: scripts/crash.sh [--short] [KILLS [SEEDS [IMAGES]]]; by default 2,000 kills of each program, 12,500 seeds for each
# of 8 jobs, 1,000 images for each operation of the log, and all bits. --short is 20, 20, 40, and some bits. A simulated
# job that fails tells its seed N, and PELTON_SEEDS=N..N+1, as numbers, runs that one alone.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=2000 seeds=12500 images=1000
if [ "${1:-}" = --short ]; then
    kills=20 seeds=20 images=40
    shift
else
    export PELTON_FLIPS=1
fi
kills="${1:-$kills}" seeds="${2:-$seeds}" images="${3:-$images}"
said="$(mktemp)"
trap 'rm -f "$said"' EXIT

# Runs tests in the profile of campaigns, under a title for the totals.
campaign() {
    local title="$1"
    shift
    echo "== $title" | tee -a "$said"
    cargo test --profile campaign "$@" --nocapture | tee -a "$said"
}

PELTON_IMAGES="$images" campaign "the log and the journal" -p pelton --lib -- log::
PELTON_SEEDS="$seeds" campaign "simulated jobs" -p pelton-tests --test all -- checkpoints:: journal:: --skip journal::live_sources
PELTON_SEEDS="$((seeds * 8))" campaign "a simulated job with live sources" -p pelton-tests --test all -- journal::live_sources
PELTON_SEEDS="$((seeds / 8 + 8))" PELTON_FAULTS="$images" \
    campaign "simulated jobs with files" -p pelton-io --lib -- parts::tests::crashes
PELTON_KILLS="$kills" campaign "a job of many steps, and real trades" -p pelton-io --test kills --
PELTON_KILLS="$kills" campaign "the command" -p pelton-cli --test cli -- replay_that_is_killed
PELTON_KILLS="$kills" campaign "a live job that is killed" -p pelton-cli --test live --
echo "totals"
grep -oE "^== .*|(([a-z]+: )?[0-9]+ [a-z][^;]*|test result.*failed)" "$said" | grep -vE "^[0-9]+ (passed|tests?|filtered|ignored|measured)"
