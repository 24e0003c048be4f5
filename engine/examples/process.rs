//! A process function with timers: tells when a sensor falls silent, and when it is back.
//!
//! `cargo run -p pelton --example process`

use pelton::{Job, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, collect};

const SECOND: i64 = 1_000_000_000;
/// A sensor that says nothing for so long is silent.
const SILENCE_NS: i64 = 5 * SECOND;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Reading {
    #[event(time)]
    time_ns: i64,
    sensor: u32,
    celsius: f32,
}

/// What is kept of a sensor; zeros for a new one.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Seen {
    last: Timestamp,
    celsius: f32,
    is_silent: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, pelton::Record)]
#[repr(C)]
struct Alert {
    sensor: u32,
    is_silent: u32,
    last_celsius: f32,
}

#[derive(Clone)]
struct Silence;

impl ProcessFunction<u32> for Silence {
    type In = Reading;
    type State = Seen;
    type Out = Alert;

    fn on_row(
        &self,
        sensor: &u32,
        time: Timestamp,
        reading: &Reading,
        seen: &mut Seen,
        context: &mut ProcessContext<'_, Alert>,
    ) {
        if seen.is_silent == 1 {
            context.emit(Alert { sensor: *sensor, is_silent: 0, last_celsius: reading.celsius });
        }
        *seen = Seen { last: time, celsius: reading.celsius, is_silent: 0 };
        context.timer(time.plus_nanos(SILENCE_NS));
    }

    fn on_timer(&self, sensor: &u32, time: Timestamp, seen: &mut Seen, context: &mut ProcessContext<'_, Alert>) {
        // A later reading sets a timer of its own. At the end of the input nothing is known.
        if time == seen.last.plus_nanos(SILENCE_NS) && context.watermark() != Timestamp::MAX {
            seen.is_silent = 1;
            context.emit(Alert { sensor: *sensor, is_silent: 1, last_celsius: seen.celsius });
        }
    }
}

fn main() -> Result<(), pelton::Error> {
    // Three sensors, a reading a second each; sensor 2 says nothing from second 20 to 39.
    let readings = (0..60i64)
        .flat_map(|second| {
            (1..=3u32).map(move |sensor| Reading {
                time_ns: second * SECOND + i64::from(sensor),
                sensor,
                celsius: 20.0 + (second % 7) as f32 / 10.0,
            })
        })
        .filter(|reading| reading.sensor != 2 || !(20..40).contains(&(reading.time_ns / SECOND)))
        .collect();

    let mut job = Job::new("silent sensors");
    let (sink, alerts) = collect();
    job.source("readings", VecSource::new(readings, 64))
        .key_by(|reading| reading.sensor)
        .process("silence", Silence)
        .sink("alerts", sink);
    let report = job.run(Options::workers(2))?;

    let alerts = alerts.take();
    for (time, alert) in &alerts {
        let state = if alert.is_silent == 1 { "is silent" } else { "is back" };
        println!("second {:>2}: sensor {} {state}", time.as_nanos() / SECOND, alert.sensor);
    }
    println!("{report}");
    let told: Vec<_> = alerts.iter().map(|(time, alert)| (time.as_nanos() / SECOND, alert.is_silent)).collect();
    assert_eq!(told, [(24, 1), (40, 0)]);
    Ok(())
}
