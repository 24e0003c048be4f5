//! What a panic in a job says: which step and which event first, then where in the program, and a backtrace if one is
//! asked for.
//!
//! A panic hook runs before unwinding, and who is to blame is known behind it ([`blame`]). So where a job runs, the hook
//! only keeps what it sees, and who catches the panic prints all of it. On other threads, and before an abort, the hook
//! that was there before does what it did. A hook of the program's own is called in any case.

use super::blame::{self, Blame};
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

/// A panic that was caught.
pub(crate) struct Panic {
    pub(crate) blame: Blame,
    pub(crate) message: String,
    seen: Option<Box<Seen>>,
}

/// What the hook saw.
struct Seen {
    message: String,
    location: String,
    backtrace: Backtrace,
}

thread_local! {
    /// Whether panics on this thread will be caught and told.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    /// The panic that is on its way to who catches it.
    static SEEN: RefCell<Option<Box<Seen>>> = const { RefCell::new(None) };
}

impl Panic {
    /// A panic of which nothing is known but what it carried.
    pub(crate) fn of(payload: &(dyn Any + Send)) -> Self {
        Self { blame: Blame::default(), message: message_of(payload), seen: None }
    }

    /// The file, line and column that panicked.
    pub(crate) fn location(&self) -> &str {
        self.seen.as_ref().map_or("somewhere", |seen| &seen.location)
    }

    /// Prints it, called `what`, with a backtrace where the environment asks for one. Where the hook did not see it, it was
    /// printed before.
    pub(crate) fn tell(&self, what: &dyn std::fmt::Display) {
        match &self.seen {
            Some(seen) if seen.backtrace.status() == BacktraceStatus::Captured => {
                eprintln!("{what}\nstack backtrace:\n{}", seen.backtrace);
            }
            Some(_) => eprintln!("{what}\nnote: run with `RUST_BACKTRACE=1` to see a backtrace"),
            None => eprintln!("{what}"),
        }
    }
}

/// Runs `body` and catches a panic in it.
pub(crate) fn catch<R>(body: impl FnOnce() -> R) -> Result<R, Panic> {
    watch();
    let was_watched = IS_WATCHED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    IS_WATCHED.set(was_watched);
    let seen = SEEN.take();
    match result {
        Ok(result) => {
            seen.iter().for_each(|seen| tell_of_a_caught_one(seen));
            Ok(result)
        }
        Err(payload) => Err(Panic { blame: blame::take(), message: message_of(&*payload), seen }),
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    match payload.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "no message".to_owned()),
    }
}

/// Tells of a panic that a function of the user's caught itself.
#[cold]
fn tell_of_a_caught_one(seen: &Seen) {
    let thread = std::thread::current();
    let Seen { message, location, .. } = seen;
    eprintln!("thread '{}' panicked at {location} and caught it: {message}", thread.name().unwrap_or("without a name"));
}

/// Puts the hook in place, once for the process.
fn watch() {
    static ONCE: Once = Once::new();
    // Where a panic aborts nobody catches it, and a thread that panics may not change the hook.
    if ONCE.is_completed() || cfg!(panic = "abort") || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = take_hook();
        let is_default = is_same_hook(&*before, &*take_hook());
        set_hook(Box::new(move |info| {
            let is_kept = IS_WATCHED.try_with(Cell::get).unwrap_or(false) && keep(info);
            if !(is_kept && is_default) {
                before(info);
            }
        }));
    });
}

/// Whether both are one function. Where it is not seen that they are, a panic is printed twice.
fn is_same_hook<'a>(one: &'a (dyn Fn(&PanicHookInfo<'_>) + 'a), other: &'a (dyn Fn(&PanicHookInfo<'_>) + 'a)) -> bool {
    std::ptr::eq(one, other)
}

/// Keeps a panic for who will catch it; not if nobody can.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    // The field has no stable accessor. A text without it has the panic printed at once, by the hook before.
    let can_unwind = format!("{info:?}").contains("can_unwind: true");
    let earlier = SEEN.take();
    // A panic while another one unwinds ends the process.
    earlier.iter().for_each(|seen| tell_of_a_caught_one(seen));
    if !can_unwind || earlier.is_some() {
        return false;
    }
    let location = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let seen = Seen { message: message_of(info.payload()), location, backtrace: Backtrace::capture() };
    SEEN.set(Some(Box::new(seen)));
    true
}

#[cfg(test)]
mod tests {
    use crate::{Error, Job, Options, callback};
    use std::process::{Command, Output};

    #[derive(Clone, Copy, crate::Event)]
    #[repr(C)]
    struct Tick {
        #[event(time)]
        time_ns: i64,
    }

    const CASE: &str = "PELTON_TEST_PANIC";

    /// Runs the job of a case and gives what is printed to stderr, by this test in a process of its own.
    fn stderr_of(case: &str, backtrace: &str) -> String {
        let name = "base::panics::tests::a_panic_tells_the_step_and_the_event_first";
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture"]).env(CASE, case);
        let Output { status, stderr, .. } =
            command.env("RUST_BACKTRACE", backtrace).env_remove("RUST_LIB_BACKTRACE").output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{case}: {stderr}");
        stderr
    }

    fn bad(tick: &Tick) -> i64 {
        assert!(tick.time_ns != 70, "a bad tick");
        tick.time_ns
    }

    /// In the process of its own.
    fn run(case: &str) {
        if case == "a hook of one's own" {
            std::panic::set_hook(Box::new(|info| eprintln!("the hook saw {}", info.location().unwrap())));
        }
        let map = match case {
            "caught by the function" => |tick: &Tick| std::panic::catch_unwind(|| bad(tick)).unwrap_or(-1),
            _ => bad,
        };
        let ticks: Vec<_> = (0..100).map(|time_ns| Tick { time_ns }).collect();
        let mut job = Job::new("ticks");
        job.source("ticks", crate::VecSource::new(ticks, 64)).map(map).sink("out", callback(|_, _| {}));
        let result = job.run(Options::workers(1).pin(false));
        match result {
            Ok(_) => assert_eq!(case, "caught by the function"),
            Err(Error::Panicked { message, location, .. }) => {
                assert_eq!(message, "a bad tick");
                assert!(location.contains("panics.rs:"), "{location}");
            }
            Err(other) => panic!("{other}"),
        }
        if case == "beside a job" {
            std::thread::spawn(|| panic!("beside the job")).join().unwrap_err();
        }
    }

    #[test]
    fn a_panic_tells_the_step_and_the_event_first() {
        if let Ok(case) = std::env::var(CASE) {
            return run(&case);
        }
        let told = stderr_of("plain", "0");
        let lines: Vec<_> = told.lines().collect();
        let [first, second] = lines[..] else { panic!("{told}") };
        assert!(first.starts_with("step `map 1 behind ticks` panicked at event 6 of block 1, in "), "{told}");
        assert!(first.contains("panics.rs:") && first.ends_with(": a bad tick"), "{told}");
        assert!(second.starts_with("note: ") && second.contains("RUST_BACKTRACE"), "{told}");

        let told = stderr_of("plain", "1");
        assert!(told.starts_with("step `map 1 behind ticks` panicked"), "{told}");
        assert!(told.contains("\nstack backtrace:\n") && told.contains("panics::tests::bad"), "{told}");

        let told = stderr_of("a hook of one's own", "0");
        assert!(told.starts_with("the hook saw ") && told.contains("\nstep `map 1 behind ticks` panicked"), "{told}");

        let told = stderr_of("caught by the function", "0");
        assert!(told.contains("panics.rs:") && told.ends_with(" and caught it: a bad tick\n"), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");

        let told = stderr_of("beside a job", "0");
        let beside = told.lines().skip(2).collect::<Vec<_>>().join("\n");
        assert!(beside.contains("panicked at ") && beside.contains("\nbeside the job"), "{told}");
    }
}
