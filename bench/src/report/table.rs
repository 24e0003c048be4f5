//! Tables of a report, as Markdown.

use super::array;
use super::targets::counterpart;
use crate::contest::{Rival, Standing};
use serde_json::Value;

/// Text in a cell of a table.
pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// One line on the machine, and one on the sources.
pub(super) fn machine(machine: &Value) -> String {
    let text = |name: &str| match &machine[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let gib = machine["memory_bytes"].as_u64().map(|bytes| format!("{} GiB", (bytes + (1 << 29)) >> 30));
    let cores = text("cores").map(|cores| format!("{cores} cores"));
    let kernel = text("kernel").map(|kernel| format!("Linux {kernel}"));
    let virtual_machine = (machine["hypervisor"] == true).then(|| "a virtual machine".to_owned());
    let load = text("load_average").map(|load| format!("load average before {load}"));
    let hardware: Vec<_> = [text("cpu"), cores, gib, virtual_machine, kernel, load].into_iter().flatten().collect();
    let revision = text("revision").map(|revision| format!("revision {revision}"));
    let sources: Vec<_> = [revision, text("rustc")].into_iter().flatten().collect();
    format!("{}\n\n{}\n", hardware.join(", "), sources.join(", "))
}

/// A contest's rivals.
pub(super) fn contest(standing: &Standing) -> String {
    let Standing { work, events, event_bytes, .. } = standing;
    let is_start = *events <= 1;
    let mut out = format!("### {work}\n\n");
    if is_start {
        out.push_str("| rival | ms | min..max | pelton's speed over it | |\n|---|--:|--:|--:|---|\n");
    } else {
        out.push_str(&format!("{events} events of {event_bytes} bytes.\n\n"));
        out.push_str("| rival | M events/s | min..max | ns/event | GB/s | pelton's speed over it | |\n");
        out.push_str("|---|--:|--:|--:|--:|--:|---|\n");
    }
    for rival in &standing.rivals {
        out.push_str(&line(standing, rival, is_start));
    }
    out.push('\n');
    out
}

fn line(standing: &Standing, rival: &Rival, is_start: bool) -> String {
    let (name, mut remark) = (cell(&rival.name), cell(&rival.remark));
    if let Some(wrong) = &rival.wrong {
        remark = format!("**wrong**: {} {remark}", cell(wrong));
    }
    let remark = if remark.is_empty() { String::new() } else { format!("{} ", remark.trim_end()) };
    let Some((fastest, median, slowest)) = rival.spread_ns() else {
        return format!("| {name} |{} {remark}|\n", if is_start { " | | |" } else { " | | | | |" });
    };
    let ratio = counterpart(standing, &rival.name).and_then(|ours| standing.ratio(ours, &rival.name));
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2} "));
    if is_start {
        let ms = |ns: f64| format!("{:.2}", ns / 1e6);
        let (median, spread) = (ms(median), format!("{}..{}", ms(fastest), ms(slowest)));
        return format!("| {name} | {median} | {spread} | {ratio}| {remark}|\n");
    }
    let rate = |ns: f64| standing.events as f64 * 1e3 / ns.max(1.0);
    let (ns, gb) = (median / standing.events as f64, rate(median) * standing.event_bytes as f64 / 1e3);
    let spread = format!("{:.1}..{:.1}", rate(slowest), rate(fastest));
    format!("| {name} | {:.1} | {spread} | {ns:.1} | {gb:.2} | {ratio}| {remark}|\n", rate(median))
}

/// Rivals' percentiles in microseconds: medians over the rounds with the least and the largest.
pub(super) fn latency(value: &Value) -> String {
    let work = value["work"].as_str().unwrap_or_default();
    let what = match value["rate_per_s"].as_u64() {
        Some(rate) => format!("{rate} events per second; microseconds from the intended time."),
        None => "One event after the other; microseconds that each takes.".to_owned(),
    };
    let mut out = format!("### {work}\n\n{what}\n\n");
    out.push_str("| rival | p50 | p99 | p99.9 |\n|---|--:|--:|--:|\n");
    for rival in array(&value["rivals"]) {
        let name = cell(rival["name"].as_str().unwrap_or_default());
        if let Some(wrong) = rival["wrong"].as_str() {
            out.push_str(&format!("| {name} | **wrong**: {} | | |\n", cell(wrong)));
            continue;
        }
        let figures = ["p50_ns", "p99_ns", "p999_ns"].map(|percentile| {
            let runs_ns = array(&rival[percentile]).iter().filter_map(Value::as_u64).collect();
            let spread = Rival { runs_ns, ..Rival::default() }.spread_ns();
            let us = |ns: f64| ns / 1e3;
            spread.map_or(String::new(), |(least, median, most)| {
                format!("{:.2} ({:.2}..{:.2}) ", us(median), us(least), us(most))
            })
        });
        out.push_str(&format!("| {name} | {}|\n", figures.join("| ")));
    }
    out.push('\n');
    out
}

/// Nanoseconds for each event by the number of keys, and the last over the first.
pub(super) fn growth(value: &Value) -> String {
    let keys: Vec<String> = array(&value["keys"]).iter().map(Value::to_string).collect();
    let mut out = format!("### {}\n\nns/event by the number of keys.\n\n", value["work"].as_str().unwrap_or_default());
    out.push_str(&format!("| rival | {} | growth |\n|---|{}--:|\n", keys.join(" | "), "--:|".repeat(keys.len())));
    for rival in array(&value["rivals"]) {
        let figures: Vec<Option<f64>> = array(&rival["ns_per_event"]).iter().map(Value::as_f64).collect();
        let cells: Vec<_> = figures.iter().map(|ns| ns.map_or(String::new(), |ns| format!("{ns:.1} "))).collect();
        let growth = growth_of(rival).map_or(String::new(), |growth| format!("{growth:.2} "));
        let name = cell(rival["name"].as_str().unwrap_or_default());
        out.push_str(&format!("| {name} | {}| {growth}|\n", cells.join("| ")));
    }
    out.push('\n');
    out
}

/// The time of the most keys over that of the fewest.
pub(super) fn growth_of(rival: &Value) -> Option<f64> {
    let figures = array(&rival["ns_per_event"]);
    Some(figures.last()?.as_f64()? / figures.first()?.as_f64()?)
}

/// Memory by work, in MiB.
pub(super) fn memory(values: &[Value]) -> String {
    let mut out = "## Memory\n\nAnonymous memory at its largest, in MiB; beyond is what is not keys and accumulators. \
                   It holds the program's own memory too.\n\n\
                   | work | keys | keys and accumulators | in all | beyond |\n|---|--:|--:|--:|--:|\n"
        .to_owned();
    for value in values {
        let mib = |name: &str| value[name].as_f64().unwrap_or(0.0) / f64::from(1 << 20);
        let (work, keys) = (value["work"].as_str().unwrap_or_default(), value["keys"].as_u64().unwrap_or(0));
        let (state, most, beyond) = (mib("state_bytes"), mib("most_bytes"), mib("beyond_bytes"));
        out.push_str(&format!("| {} | {keys} | {state:.1} | {most:.1} | {beyond:.1} |\n", cell(work)));
    }
    out.push('\n');
    out
}

/// Entries of [`crate::Results`].
pub(super) fn entries(values: &[Value]) -> String {
    let mut out = "## Throughput and latency\n\nThe ratio is to the plain loop; percentiles are in microseconds.\n\n\
                   | scenario | M events/s | ratio | percentiles |\n|---|--:|--:|---|\n"
        .to_owned();
    for value in values {
        let rate = value["events_per_s"].as_f64().unwrap_or(0.0) / 1e6;
        let ratio = value["ratio"].as_f64().map_or(String::new(), |ratio| format!("{ratio:.2} "));
        let percentiles = ["p50", "p90", "p99", "p99.9", "p99.99", "max"].iter().filter_map(|name| {
            let ns = value["percentiles_ns"][*name].as_f64()?;
            Some(format!("{name} {:.1}", ns / 1e3))
        });
        let percentiles = percentiles.collect::<Vec<_>>().join(", ");
        let percentiles = if percentiles.is_empty() { percentiles } else { format!("{percentiles} ") };
        let name = cell(value["name"].as_str().unwrap_or_default());
        out.push_str(&format!("| {name} | {rate:.2} | {ratio}| {percentiles}|\n"));
    }
    out.push('\n');
    out
}
