#!/usr/bin/env bash
# Replays with --state on disks that fill up, lose power and fail, given again until they end, with the files of a run that
# nobody disturbed.
#   full    ext4 and tmpfs with so little room that they are full at any point: no signal but a clear error, or the job
#           goes on without its checkpoints; with room again, it comes to its end
#   cuts    ext4 whose power is cut while the job runs, by the file system's own way to shut down at once
#   errors  each call that writes, syncs, sizes, names or makes a file fails by EIO, ENOSPC and EINTR, once and for ever;
#           what cannot be synced is neither reported as committed nor synced again
#
# Mounting needs root, and cutting python3; errors need strace, which is installed where that may be. What may not run is
# skipped aloud.
# Usage: scripts/disks.sh [--short] [full|cuts|errors]...; by default all, with 1,000 cuts.
set -euo pipefail
cd "$(dirname "$0")/.."

short=
[ "${1:-}" = --short ] && short=1 && shift
parts="${*:-full cuts errors}"

cargo build --quiet --profile campaign -p pelton-cli
pelton="${CARGO_TARGET_DIR:-target}/campaign/pelton"
dir="$(mktemp -d)"
disk="$dir/disk"
mkdir "$disk"
clean() {
    mountpoint -q "$disk" && umount "$disk"
    rm -rf "$dir"
}
trap clean EXIT
failed=

# Trades, so many, with so many keys, and the files that come of them.
trades() {
    "$pelton" generate trades --events "$1" --keys "$2" --rate 100000 --disorder 3ms --block 512 --overwrite \
        "$dir/t.pelton" 2>/dev/null
    for style in rolled whole; do
        rm -rf "$dir/none" "$dir/expected-$style"
        mkdir -p "$dir/expected-$style"
        replay "$dir/none" "$dir/expected-$style" 1
    done
}

# Runs the replay with a directory of state and one of outputs, with workers, under a command in front. Outputs are files
# that roll or whole ones, by the `style`; the window and how often state is saved are those of the part.
replay() {
    local state="$1" out="$2" workers="$3" roll=
    [ "$style" = rolled ] && roll="--roll 64KiB"
    shift 3
    # The shell itself would tell of each kill.
    {
        timeout -s KILL 60 "$@" "$pelton" replay "$dir/t.pelton" --window "$window" --state "$state" \
            --checkpoint-every "$every" --out "$out/bars.csv" $roll --late "$out/late.csv" \
            --workers "$workers" >/dev/null 2>"$dir/said"
    } 2>/dev/null
}

wrong() {
    echo "WRONG: $1: $(head -c 600 "$dir/said")" >&2
    wrongs=$((wrongs + 1))
}

# Whether loops can be mounted here.
may_mount() {
    if [ "$(id -u)" != 0 ]; then
        echo "SKIPPED: $1: mounting needs root" >&2
        return 1
    fi
    truncate -s 16M "$dir/image"
    if ! mkfs.ext4 -q -F -m 0 "$dir/image" || ! mount -o loop "$dir/image" "$disk" 2>/dev/null; then
        echo "SKIPPED: $1: no loop can be mounted here" >&2
        return 1
    fi
    umount "$disk"
    rm "$dir/image"
}

# --- full

# Mounts an empty disk of a kind.
mount_empty() {
    if [ "$1" = tmpfs ]; then
        mount -t tmpfs -o size=48m tmpfs "$disk"
    else
        rm -f "$dir/image"
        truncate -s 64M "$dir/image"
        mkfs.ext4 -q -F -m 0 "$dir/image"
        mount -o loop "$dir/image" "$disk"
    fi
}

# Fills the disk but for so many bytes.
leave() {
    local available rest
    available="$(df --output=avail -B1 "$disk" | tail -n 1)"
    rest=$((available - $1))
    # What keeps account of a large file takes some room too.
    [ "$rest" -gt 2097152 ] && fallocate -l $((rest - 2097152)) "$disk/ballast"
    available="$(df --output=avail -B1 "$disk" | tail -n 1)"
    rest=$((available - $1))
    [ "$rest" -gt 0 ] && head -c "$rest" /dev/zero >>"$disk/ballast" 2>/dev/null || true
}

full() {
    may_mount "full disks" || return 0
    window=200ms every=15ms wrongs=0
    local runs=0 refused=0 went_on=0 step=262144 kind which free by most status state out
    [ "$short" ] && step=2097152
    trades 100000 20000
    mkdir -p "$dir/counted"
    replay "$dir/counted/state" "$dir/counted" 2
    local state_bytes out_bytes
    state_bytes="$(du -sb "$dir/counted/state" | cut -f 1)"
    out_bytes="$(du -sbc "$dir"/expected-whole/* | tail -n 1 | cut -f 1)"
    echo "state of $state_bytes bytes, outputs of $out_bytes bytes"
    for kind in ext4 tmpfs; do
        mount_empty "$kind"
        for which in both state out; do
            case $which in
                both) most=$((state_bytes + out_bytes)) by=$step state="$disk/state" out="$disk/out" ;;
                state) most=$state_bytes by=$step state="$disk/state" out="$dir/out" ;;
                # Outputs are small.
                out) most=$out_bytes by=$((step / 4)) state="$dir/state" out="$disk/out" ;;
            esac
            for ((free = 0; free <= most + 524288; free += by)); do
                runs=$((runs + 1))
                if [ $((runs % 2)) = 0 ]; then style=rolled; else style=whole; fi
                rm -rf "$state" "$out" "$disk/ballast"
                mkdir -p "$out"
                leave "$free"
                # At times there is room again while the job runs.
                if [ $((runs % 3)) = 0 ]; then
                    (sleep "0.$((RANDOM % 3))$((RANDOM % 10))" && rm -f "$disk/ballast") &
                fi
                replay "$state" "$out" $((1 + runs % 3)) && status=0 || status=$?
                if [ "$status" = 0 ]; then
                    went_on=$((went_on + 1))
                    diff -rq "$dir/expected-$style" "$out" >&2 || wrong "$kind, $which, $free bytes: other files"
                elif [ "$status" = 1 ] && grep -qi "no space left\|is full" "$dir/said"; then
                    refused=$((refused + 1))
                else
                    wrong "$kind, $which, $free bytes: exit code $status"
                fi
                wait
                rm -f "$disk/ballast"
                replay "$state" "$out" $((1 + (runs + 1) % 3)) || wrong "$kind, $which, $free bytes: it does not go on"
                diff -rq "$dir/expected-$style" "$out" >&2 || wrong "$kind, $which, $free bytes: other files in the end"
            done
        done
        rm -rf "$dir/state" "$dir/out"
        umount "$disk"
    done
    echo "full disks: $runs runs, $refused ended with an error and went on with room again, $went_on came to their end at once, $wrongs wrong"
    [ "$wrongs" = 0 ] && [ "$refused" -gt 0 ] && [ "$went_on" -gt 0 ] || failed=1
}

# --- cuts

# Cuts the power in so many seconds: EXT4_IOC_SHUTDOWN without flushing the journal.
cut_power() {
    python3 -c 'import fcntl, os, struct, sys, time
disk = os.open(sys.argv[1], os.O_RDONLY)
time.sleep(float(sys.argv[2]))
fcntl.ioctl(disk, 0x8004587D, struct.pack("I", 2))' "$disk" "$1"
}

cuts() {
    may_mount "power cuts" || return 0
    if ! command -v python3 >/dev/null; then
        echo "SKIPPED: power cuts: there is no python3" >&2
        return 0
    fi
    window=10ms every=5ms wrongs=0
    local wanted=1000 cuts=0 idle=0 resumed=0 done=0 runs=0 process status whole
    [ "$short" ] && wanted=20
    trades 100000 300
    mount_empty ext4
    mkdir "$disk/out"
    local begun
    begun="$(date +%s%N)"
    replay "$disk/state" "$disk/out" 1 || wrong "undisturbed"
    whole=$((($(date +%s%N) - begun) / 1000000))
    diff -rq "$dir/expected-$style" "$disk/out" >&2 || wrong "undisturbed: other files"
    rm -rf "$disk/state" "$disk/out"
    mkdir "$disk/out"
    # What is there before the job begins is there for certain.
    sync -f "$disk"
    while [ "$cuts" -lt "$wanted" ] && [ "$wrongs" -lt 10 ]; do
        runs=$((runs + 1))
        replay "$disk/state" "$disk/out" $((1 + runs % 3)) &
        process=$!
        cut_power "$(awk -v part="$RANDOM" -v whole="$whole" 'BEGIN {printf "%.4f", part / 32768 * whole / 1000}')"
        wait "$process" && status=0 || status=$?
        # However fast the machine is at the time, most cuts come before the end.
        if [ "$status" != 0 ]; then
            cuts=$((cuts + 1)) whole=$((whole + whole / 100 + 1))
            [ $((cuts % 100)) = 0 ] && echo "$cuts cuts, $wrongs wrong" >&2
        else
            idle=$((idle + 1)) whole=$((whole - whole / 20))
        fi
        # It either was done or says what failed; there is no other end.
        if [ "$status" != 0 ]; then
            if [ "$status" != 1 ] || ! grep -qi "input/output error\|read-only" "$dir/said"; then
                wrong "cut $cuts: exit code $status"
            fi
        fi
        grep -q "went on from checkpoint" "$dir/said" && resumed=$((resumed + 1))
        umount "$disk"
        mount -o loop "$dir/image" "$disk"
        if [ "$status" = 0 ]; then
            # It said that it was done: that survives the cut.
            done=$((done + 1))
            diff -rq "$dir/expected-$style" "$disk/out" >&2 || wrong "cut $cuts behind the end: other files"
            replay "$disk/state" "$disk/out" 1 || wrong "cut $cuts behind the end: it does not go on"
            grep -q "had finished" "$dir/said" || wrong "cut $cuts: it had not finished"
            rm -rf "$disk/state" "$disk/out"
            mkdir "$disk/out"
            sync -f "$disk"
            if [ $((done % 2)) = 0 ]; then style=rolled; else style=whole; fi
        elif [ ! -d "$disk/out" ]; then
            wrong "cut $cuts: the directory is gone"
        fi
    done
    if ! replay "$disk/state" "$disk/out" 2; then wrong "the last run"; fi
    diff -rq "$dir/expected-$style" "$disk/out" >&2 || wrong "the last run: other files"
    umount "$disk"
    echo "power cuts: $runs runs, $cuts cuts while the job ran and $idle behind its end, $resumed recoveries said, $done times to the end, $wrongs wrong"
    [ "$wrongs" = 0 ] && [ "$done" -gt 0 ] || failed=1
}

# --- errors

# Paths that were synced once more behind a sync of them that failed, in a trace.
synced_again() {
    awk '/(fsync|fdatasync)\(/ {
        match($0, /<[^>]*>/)
        path = substr($0, RSTART, RLENGTH)
        if (path in bad) {print path; exit}
        if ($0 ~ /\(INJECTED\)/) bad[path] = 1
    }' "$1"
}

errors() {
    if ! command -v strace >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq strace >/dev/null || true
    fi
    if ! strace -f -qq -o /dev/null true 2>/dev/null; then
        echo "SKIPPED: failing calls: strace is missing or may not trace" >&2
        return 0
    fi
    window=10ms every=40ms wrongs=0
    local stride=1 runs=0 failures=0 fine=0 call most number error kind when status again
    [ "$short" ] && stride=12
    trades 30000 100
    local place="$dir/run" calls="write pwrite64 fsync fdatasync msync ftruncate fallocate rename renameat2 linkat unlink openat mkdir"
    for style_and_call in $(for call in $calls; do echo "rolled:$call whole:$call"; done); do
        style="${style_and_call%:*}" call="${style_and_call#*:}"
        rm -rf "$place"
        mkdir -p "$place/out"
        replay "$place/state" "$place/out" 2 strace -f -qq -o "$dir/trace" || wrong "traced"
        most="$(awk -v call="$call" '$2 ~ "^" call "\\(" {count[$1]++} END {most = 0; for (id in count) if (count[id] > most) most = count[id]; print most}' "$dir/trace")"
        for ((number = 1; number <= most; number += stride)); do
            for error in EIO ENOSPC EINTR; do
                for kind in once ever; do
                    # Nobody is interrupted for ever.
                    case "$kind $error" in
                        once*) when=$number ;;
                        "ever EINTR") when=$number..$((number + 49)) ;;
                        ever*) when=$number+ ;;
                    esac
                    runs=$((runs + 1))
                    rm -rf "$place"
                    mkdir -p "$place/out"
                    what="$style files, $call number $number fails by $error, $kind"
                    replay "$place/state" "$place/out" $((1 + runs % 3)) strace -f -qq -y -o "$dir/failing" \
                        -e trace=fsync,fdatasync,msync,"$call" -e inject="$call:error=$error:when=$when" \
                        && status=0 || status=$?
                    again=
                    if [ "$error" != EINTR ]; then again="$(synced_again "$dir/failing")"; fi
                    if [ "$again" ]; then wrong "$what: $again was synced again"; fi
                    if [ "$status" = 0 ]; then
                        fine=$((fine + 1))
                        # A second name of a file that cannot be removed is gone once the job is given again.
                        diff -rq -x ".*.in-progress" "$dir/expected-$style" "$place/out" >&2 || wrong "$what: other files"
                        case $call in
                            fsync | fdatasync | msync)
                                if [ "$error" != EINTR ] && grep -q INJECTED "$dir/failing"; then
                                    wrong "$what: nobody was told"
                                fi
                                ;;
                        esac
                    else
                        failures=$((failures + 1))
                        # One who cannot write cannot tell of it; neither can a program that does not load.
                        if [ "$status" -gt 127 ]; then
                            wrong "$what: exit code $status"
                        elif [ ! -s "$dir/said" ] && [ "$call" != write ]; then
                            wrong "$what: it says nothing"
                        elif grep -q "panicked" "$dir/said"; then
                            wrong "$what: a panic"
                        fi
                    fi
                    replay "$place/state" "$place/out" $((1 + (runs + 1) % 3)) || wrong "$what: it does not go on"
                    diff -rq "$dir/expected-$style" "$place/out" >&2 || wrong "$what: other files in the end"
                done
            done
        done
    done
    echo "failing calls: $runs runs, $failures ended with an error and went on, $fine came to their end at once, $wrongs wrong"
    [ "$wrongs" = 0 ] && [ "$failures" -gt 0 ] && [ "$fine" -gt 0 ] || failed=1
}

for part in $parts; do
    case $part in
        full | cuts | errors) "$part" ;;
        *) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done
[ -z "$failed" ]
