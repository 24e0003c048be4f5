#!/usr/bin/env bash
# Builds and runs all benchmarks, and writes their report: the suite, throughput, latency, and Pelton next to other
# engines and queues where those can be built. The machine should have nothing else to do.
#
# Usage: scripts/bench.sh [--short] [--dir SCRATCH]
#   --short        few events and one round, to see that it works; the results go to a temporary directory
#   --dir SCRATCH  where captures are made, by default the system's temporary directory; 6 GiB must be free there
#
# Results go to bench/runs/DATE-MACHINE. Exit code 1: something failed or was wrong; the report has what there is.
set -euo pipefail
cd "$(dirname "$0")/.."

short=
scratch="${TMPDIR:-/tmp}"
while [ $# -gt 0 ]; do
    case "$1" in
        --short) short=1 ;;
        --dir) scratch="$2"; shift ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done

if [ "$short" ]; then
    out="$(mktemp -d "$scratch/pelton-run.XXXXXX")"
    suite=(--events 1000000 --shape-events 50000 --rounds 1)
    throughput=(--events 1000000 --runs 1)
    latency=1
    engines=(--events 200000 --dbsp-events 50000 --rounds 1)
    flink=(--events 100000 --warm 100000 --keys 100 --rounds 1)
    queues=(--events 500000 --rounds 1 --latency-ms 100)
    threads=(--events 500000 --rounds 1)
else
    cpu="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1 | tr '[:upper:]' '[:lower:]')"
    machine="$(echo "$cpu" | tr -cs 'a-z0-9\n' ' ' | awk '{print $1 "-" $2}')-$(nproc)-cores"
    out="bench/runs/$(date +%F)-$machine"
    # A run never mixes with an earlier one of the day.
    number=1
    while [ -e "$out" ]; do
        number=$((number + 1))
        out="bench/runs/$(date +%F)-$machine-$number"
    done
    mkdir -p "$out"
    suite=(--rounds 5)
    throughput=()
    latency=10
    engines=() flink=()
    # One at a time some queues take half a microsecond.
    queues=(--events 8388608)
    threads=(--events 67108864)
fi

failed=
step() {
    echo "== $*" >&2
}
failing() {
    echo "FAILED: $1" >&2
    failed=1
}

step "building"
cargo build --release -p pelton-bench --example suite --example throughput
examples="${CARGO_TARGET_DIR:-target}/release/examples"
compare="${CARGO_TARGET_DIR:-bench/compare/target}/release"
cargo build --release --manifest-path bench/compare/Cargo.toml -p engines || failing "building engines"
cargo build --release --manifest-path bench/compare/Cargo.toml -p queues || failing "building queues"

step "suite"
"$examples/suite" --out "$out" --dir "$scratch" "${suite[@]}" || failing "suite"
step "throughput"
"$examples/throughput" --dir "$scratch" --out "$out/throughput.json" "${throughput[@]}" || failing "throughput"
step "latency"
"$examples/throughput" --latency "$latency" --out "$out/latency.json" || failing "latency"
if [ -x "$compare/engines" ]; then
    step "engines"
    "$compare/engines" --out "$out/engines.json" --dir "$scratch" "${engines[@]}" || failing "engines"
    step "flink"
    python3 bench/compare/flink/run.py --engines "$compare/engines" --dir "$scratch" --out "$out/flink.json" \
        "${flink[@]}" || failing "flink"
fi
if [ -x "$compare/queues" ]; then
    step "queues"
    "$compare/queues" --only ring --out "$out/queues.json" "${queues[@]}" || failing "queues"
    "$compare/queues" --only latency --out "$out/queue-latency.json" "${queues[@]}" || failing "latency of queues"
    step "two workers and two threads by hand"
    "$compare/queues" --only workers --out "$out/threads.json" "${threads[@]}" || failing "threads"
fi

step "report"
"$examples/suite" --report "$out"
echo "$out/README.md"
[ -z "$failed" ]
