//! A process function with state: tells when a user's logins fail three times within a minute.
//!
//! `cargo run -p pelton --example logins`

use pelton::{Job, Options, ProcessContext, ProcessFunction, Timestamp, callback};

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Login {
    #[event(time)]
    time: Timestamp,
    user: u64,
}

/// The last two failures of a user; zeros, which are long ago, for a new one.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct LastTwo {
    latest: Timestamp,
    before: Timestamp,
}

#[derive(Clone)]
struct ThreeInAMinute;

impl ProcessFunction<u64> for ThreeInAMinute {
    type In = Login;
    type State = LastTwo;
    type Out = u64;
    fn on_row(&self, user: &u64, now: Timestamp, _: &Login, last: &mut LastTwo, out: &mut ProcessContext<u64>) {
        if now.duration_since(last.before).as_secs() < 60 {
            out.emit(*user);
        }
        *last = LastTwo { latest: now, before: last.latest };
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Seconds and users. Users 1 and 2 fail three times, user 2 within a minute.
    let failed = [(0, 1), (10, 2), (25, 1), (30, 2), (50, 2), (61, 1)];
    let failed = failed.map(|(second, user)| Login { time: Timestamp::from_secs(1_704_205_800 + second), user });
    let mut job = Job::new("logins");
    let alerts = job.source("failed", failed).key_by(|login| login.user).process("three_in_a_minute", ThreeInAMinute);
    alerts.sink("alerts", callback(|time, user: &u64| println!("{time}: user {user} failed three times")));
    Ok(job.run(Options::workers(2))?.balance()?)
}
