#!/usr/bin/env bash
# Counts the instructions that one worker takes for an event, and fails where they grew.
#
# Counted by callgrind, as the difference between captures of 2 and 1 million trades, so that starting
# and ending are left out. Unlike times, counts are the same on a busy machine. The figures to hold are
# in scripts/instructions.txt; one may be exceeded by 5 %. The processor is valgrind's, which offers
# narrower instructions than many have: checksums cost more here than they do outside.
# Usage: scripts/instructions.sh [--update]; with --update the figures found become those to hold.
set -euo pipefail
cd "$(dirname "$0")/.."
figures=scripts/instructions.txt
works="loop job stateless-loop stateless-job"
tolerance=5

skip() {
    echo "SKIPPED: instructions are not counted: $1" >&2
    # Whoever wants new figures must not take this for them.
    [ "$mode" = --update ] && exit 1
    exit 0
}

mode="${1:-}"
case "$mode" in
    "" | --update) ;;
    *) echo "unknown option $mode" >&2; exit 2 ;;
esac
[ "$(uname -sm)" = "Linux x86_64" ] || skip "the figures are of Linux on x86_64"
if ! command -v valgrind >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "valgrind is missing and is installed now"
        apt-get update -qq && apt-get install -y -qq valgrind || skip "valgrind cannot be installed"
    else
        skip "there is no valgrind"
    fi
fi

# Without the contests, which take minutes to build.
cargo build --release --quiet -p pelton-bench --no-default-features --example throughput
program="${CARGO_TARGET_DIR:-target}/release/examples/throughput"
dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
for millions in 1 2; do
    "$program" --only loop --events "${millions}000000" --keys 10000 --capture "$dir/$millions.pelton" >/dev/null
done

# The instructions of one run: work, millions of events.
count() {
    if ! valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$program" --only "$1" --workers 1 --capture "$dir/$2.pelton" >/dev/null 2>"$dir/log"; then
        cat "$dir/log" >&2
        return 1
    fi
    awk '/Collected : [0-9]+$/ {print $NF; found = 1} END {exit !found}' "$dir/log"
}

for work in $works; do
    # Apart, so that a failure ends the script.
    less="$(count "$work" 1)"
    more="$(count "$work" 2)"
    awk -v work="$work" -v less="$less" -v more="$more" 'BEGIN {printf "%s %.1f\n", work, (more - less) / 1e6}'
done >"$dir/found"

if [ "$mode" = --update ]; then
    {
        echo "# Instructions for an event, on one worker; written by scripts/instructions.sh --update."
        echo "# $(rustc --version), $(valgrind --version)"
        cat "$dir/found"
    } >"$figures"
    cat "$figures"
    exit
fi

awk -v tolerance="$tolerance" '
    /^#/ {next}
    NR == FNR {held[$1] = $2; next}
    {
        if (!($1 in held)) {
            printf "%-16s %8.1f  has no figure to hold\n", $1, $2
            bad = 1
            next
        }
        change = 100 * ($2 / held[$1] - 1)
        printf "%-16s %8.1f instructions an event, %8.1f to hold, %+.1f %%\n", $1, $2, held[$1], change
        bad = bad || change > tolerance
        better = better || change < -tolerance
    }
    END {
        if (bad) print "FAILED: more instructions than allowed; a price that is worth it: scripts/instructions.sh --update"
        else if (better) print "clearly fewer than held: scripts/instructions.sh --update"
        exit bad
    }
' "$figures" "$dir/found"
