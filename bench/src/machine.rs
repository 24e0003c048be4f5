//! What a benchmark ran on: read from the system, `null` where it does not tell.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const CPUS: &str = "/sys/devices/system/cpu";

/// The machine as JSON: processor, cores, caches, memory, kernel, compiler, the sources' revision, and
/// how busy the machine was at the time.
///
/// ```
/// let machine = pelton_bench::machine::record();
/// assert!(machine["cores"].as_u64().unwrap() >= 1);
/// ```
pub fn record() -> Value {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    json!({
        "cpu": field(&cpuinfo, "model name"),
        "hypervisor": field(&cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        "cores": cores(),
        "threads_per_core": threads_per_core(),
        "mhz": field(&cpuinfo, "cpu MHz").and_then(|mhz| mhz.parse::<f64>().ok()),
        "governor": read(&format!("{CPUS}/cpu0/cpufreq/scaling_governor")),
        "caches": caches().iter().map(Cache::to_json).collect::<Vec<_>>(),
        "memory_bytes": field(&meminfo, "MemTotal").and_then(kibibytes),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "load_average": read("/proc/loadavg").map(|load| load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        "rustc": output("rustc", &["--version"]),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
        "revision": revision(),
        "unix_time_s": now.ok(),
    })
}

/// Cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The size of the largest cache in bytes; 32 MiB where the system does not tell.
pub fn last_level_cache_bytes() -> u64 {
    caches().iter().map(|cache| cache.bytes).max().unwrap_or(32 << 20)
}

struct Cache {
    level: u64,
    kind: String,
    bytes: u64,
    shared_by: String,
}

impl Cache {
    fn to_json(&self) -> Value {
        json!({ "level": self.level, "kind": self.kind, "bytes": self.bytes, "cpus": self.shared_by })
    }
}

/// The caches of the first processor.
fn caches() -> Vec<Cache> {
    let at = |index: usize, what: &str| read(&format!("{CPUS}/cpu0/cache/index{index}/{what}"));
    let cache = |index| {
        Some(Cache {
            level: at(index, "level")?.parse().ok()?,
            kind: at(index, "type")?,
            bytes: kibibytes(&at(index, "size")?)?,
            shared_by: at(index, "shared_cpu_list").unwrap_or_default(),
        })
    };
    (0..8).map_while(cache).collect()
}

fn threads_per_core() -> Option<usize> {
    let siblings = read(&format!("{CPUS}/cpu0/topology/thread_siblings_list"))?;
    // A list such as 0,4 or 0-1.
    let spans = siblings.split(',').map(|span| match span.split_once('-') {
        Some((first, last)) => Some(last.parse::<usize>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => Some(1),
    });
    spans.sum()
}

/// Bytes of `32768K`, `32768 kB`, `32M`.
fn kibibytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim().chars().next() {
        Some('K' | 'k') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        _ => 1,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The value behind `name` and a colon, of the first line that has it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The revision of the working directory, where that is a checkout of these sources.
fn revision() -> Option<String> {
    let top = output("git", &["rev-parse", "--show-toplevel"])?;
    let is_ours = fs::read_to_string(Path::new(&top).join("bench/Cargo.toml")).ok()?.contains("pelton-bench");
    is_ours.then(|| output("git", &["describe", "--always", "--dirty", "--abbrev=12"])).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_fields_are_read_as_the_system_writes_them() {
        assert_eq!(kibibytes("32768K"), Some(32 << 20));
        assert_eq!(kibibytes("24576000 kB"), Some(24_576_000 << 10));
        assert_eq!(kibibytes("260M"), Some(260 << 20));
        assert_eq!(kibibytes("512"), Some(512));
        assert_eq!(kibibytes("none"), None);
        assert_eq!(kibibytes(""), None);
        assert_eq!(field("a : 1\nmodel name\t: X Y\n", "model name"), Some("X Y"));
        assert_eq!(field("a : 1", "b"), None);
    }

    #[test]
    fn the_record_has_all_its_fields() {
        let record = record();
        for field in ["cpu", "cores", "caches", "memory_bytes", "kernel", "rustc", "revision", "load_average"] {
            assert!(record.get(field).is_some(), "{field} is missing in {record}");
        }
        assert!(last_level_cache_bytes() > 0);
    }
}
