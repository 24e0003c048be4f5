#!/usr/bin/env bash
# Kills a replay at each system call that changes a file, also while it recovers, gives it again until it ends, and
# compares its files with those of a run that nobody disturbed.
#
# strace counts calls by thread: the N-th call of whichever thread comes to it first is the last thing the process does.
# It needs strace, which it installs where it may, and is skipped aloud without.
# Usage: scripts/syscalls.sh [--short] [EVENTS]; by default 60,000 events and every call; --short is every tenth.
set -euo pipefail
cd "$(dirname "$0")/.."
every=1
if [ "${1:-}" = --short ]; then
    every=10
    shift
fi
events="${1:-60000}"
# Those that write, sync, size, name and make files.
calls="write pwrite64 fsync fdatasync msync ftruncate fallocate rename renameat2 linkat unlink openat mkdir"

if ! command -v strace >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq strace >/dev/null || true
    fi
fi
if ! strace -f -qq -o /dev/null true 2>/dev/null; then
    echo "SKIPPED: no call is killed: strace is missing or may not trace" >&2
    exit 0
fi

cargo build --quiet --profile campaign -p pelton-cli
pelton="${CARGO_TARGET_DIR:-target}/campaign/pelton"
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
"$pelton" generate trades --events "$events" --keys 100 --rate 100000 --disorder 3ms --block 512 "$dir/t.pelton" 2>/dev/null

# Runs the replay in a directory, with workers, under a command in front. Its files roll or are written in place, by the
# `style`.
replay() {
    local place="$1" workers="$2" roll=
    [ "$style" = rolled ] && roll="--roll 64KiB"
    shift 2
    # The shell itself would tell of each kill.
    {
        "$@" "$pelton" replay "$dir/t.pelton" --window 10ms --state "$place/state" --checkpoint-every 20ms \
            --out "$place/out/bars.csv" $roll --late "$place/out/late.csv" --workers "$workers" \
            >/dev/null 2>"$place/said"
    } 2>/dev/null
}

kills=0
wrong=0
run=0
for style_and_call in $(for call in $calls; do echo "rolled:$call whole:$call"; done); do
    style="${style_and_call%:*}" call="${style_and_call#*:}"
    expected="$dir/expected-$style"
    if [ ! -d "$expected" ]; then
        mkdir -p "$expected/out" "$dir/counted-$style/out"
        replay "$expected" 1
        replay "$dir/counted-$style" 2 strace -f -qq -o "$dir/trace-$style"
    fi
    # The most calls of one thread.
    most="$(awk -v call="$call" '$2 ~ "^" call "\\(" {count[$1]++} END {most = 0; for (id in count) if (count[id] > most) most = count[id]; print most}' "$dir/trace-$style")"
    for ((number = 1; number <= most; number += every)); do
        run=$((run + 1))
        place="$dir/run"
        rm -rf "$place"
        mkdir -p "$place/out"
        kill_at="inject=$call:signal=KILL:when=$number"
        replay "$place" $((1 + run % 3)) strace -f -qq -o /dev/null -e "$kill_at" && status=0 || status=$?
        [ "$status" = 137 ] && kills=$((kills + 1))
        # While it recovers, too.
        if [ "$status" != 0 ]; then
            kill_at="inject=$call:signal=KILL:when=$((1 + number / 2))"
            replay "$place" $((1 + (run + 1) % 3)) strace -f -qq -o /dev/null -e "$kill_at" && status=0 || status=$?
            [ "$status" = 137 ] && kills=$((kills + 1))
        fi
        if [ "$status" != 0 ] && ! replay "$place" $((1 + (run + 2) % 3)); then
            echo "WRONG: $style files: it does not go on behind $call number $number: $(cat "$place/said")" >&2
            wrong=$((wrong + 1))
        elif ! diff -rq "$expected/out" "$place/out" >&2; then
            echo "WRONG: $style files: other files behind $call number $number" >&2
            wrong=$((wrong + 1))
        fi
    done
done
echo "$run places, $kills kills, $wrong wrong"
[ "$wrong" = 0 ] && [ "$kills" -gt 0 ]
