#!/usr/bin/env bash
# Fuzzes what reads files that may be damaged or hostile: captures, snapshot logs, journals, superblocks, and every parser.
# The totals of executions are kept from run to run. A planted mistake must be found, or nothing that is not found counts.
# Usage: scripts/fuzz.sh [--short] [EXECUTIONS [SANITIZED]]; by default 10,000,000 for each target, and 1,000,000 more
# under AddressSanitizer. --short is 20,000 and 5,000. FUZZ_TARGETS names some of the targets. FUZZ_DIR names the directory
# of corpora, of inputs that failed and of totals.txt, by default target/fuzz. It needs cargo-fuzz and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
plain=10000000 sanitized=1000000 wanted=100000000
if [ "${1:-}" = --short ]; then
    plain=20000 sanitized=5000
    shift
fi
plain="${1:-$plain}" sanitized="${2:-$sanitized}"
targets="${FUZZ_TARGETS:-capture log journal superblock state schema delimited binance lean dbn packed}"
target_dir="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
dir="$(realpath -m "${FUZZ_DIR:-$target_dir/fuzz}")"
# Executions between two entries in the totals.
chunk=1000000
canary_max=20000000
limits="-max_len=512 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256"

command -v cargo-fuzz >/dev/null || { echo "there is no cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
mkdir -p "$dir"
totals="$dir/totals.txt"
touch "$totals"

# The binaries of a mode. Without a sanitizer, comparisons are not traced, which takes as long as all the rest.
build() {
    case "$1" in
        plain) cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$target_dir/fuzz-plain" -s none --no-trace-compares ;;
        asan) RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$target_dir/fuzz-asan" ;;
    esac
    bin="$(echo "$target_dir/fuzz-$1"/*-unknown-linux-gnu/release)"
}

# The sum of a column over the entries of a target in a mode: 3 for executions, 4 for failures.
sum() {
    awk -v target="$1" -v mode="$2" -v column="$3" \
        '$1 == target && $2 == mode { sum += $column } END { printf "%d", sum }' "$totals"
}

# Runs a target so many times, and enters what came of it. It ends at the first failure.
fuzz() {
    local target=$1 mode=$2 left=$3
    mkdir -p "$dir/corpus/$target" "$dir/failed"
    while [ "$left" -gt 0 ]; do
        local runs=$((left < chunk ? left : chunk)) before failed=0 executed
        before="$(sum "$target" "$mode" 3)"
        # What was done before decides the seed, so another run does something else and can be repeated.
        # shellcheck disable=SC2086
        "$bin/$target" "$dir/corpus/$target" -runs="$runs" -seed=$((before % 2000000000 + 1)) $limits \
            -artifact_prefix="$dir/failed/$target-" -print_final_stats=1 >"$dir/$target-$mode.log" 2>&1 || failed=1
        executed="$(awk '/^stat::number_of_executed_units:/ { print $2 }' "$dir/$target-$mode.log")"
        echo "$target $mode ${executed:-0} $failed $(date -u +%FT%TZ)" >>"$totals"
        if [ "$failed" = 1 ]; then
            echo "$target ($mode) failed; see $dir/$target-$mode.log"
            return
        fi
        left=$((left - ${executed:-0}))
    done
}

# What was there before, by target: executions and failures.
declare -A before_plain=() before_asan=()
for mode in plain asan; do
    executions=$plain
    [ "$mode" = asan ] && executions=$sanitized
    [ "$executions" = 0 ] && continue
    build "$mode"
    log="$dir/canary-$mode.log"
    if "$bin/canary" -runs=$canary_max -seed=1 -max_len=64 -artifact_prefix="$dir/canary-" >"$log" 2>&1; then
        echo "the canary was not found in $canary_max executions: see $log"
        exit 1
    fi
    grep -q "the canary was found" "$log" || { echo "the canary failed for another reason: see $log"; exit 1; }
    echo "the canary was found ($mode)"
    for target in $targets; do
        eval "before_$mode[$target]=$(sum "$target" "$mode" 3),$(sum "$target" "$mode" 4)"
        fuzz "$target" "$mode" "$executions"
    done
done

failures=0
printf '%-12s %-6s %12s %9s %14s %8s\n' target mode executions failures total "of 1e8"
for mode in plain asan; do
    declare -n before="before_$mode"
    for target in $targets; do
        [ -n "${before[$target]:-}" ] || continue
        total="$(sum "$target" "$mode" 3)"
        failed=$(($(sum "$target" "$mode" 4) - ${before[$target]#*,}))
        failures=$((failures + failed))
        printf '%-12s %-6s %12d %9d %14d %7d%%\n' "$target" "$mode" $((total - ${before[$target]%,*})) "$failed" "$total" \
            $((total * 100 / wanted))
    done
    unset -n before
done
[ "$failures" = 0 ]
