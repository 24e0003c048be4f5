//! Personalization: a shop recommends by what a visitor has viewed in this session, before the next page is shown.
//!
//! Three pairs of running shoes in a session change the recommendation to what goes with them. The job runs on the caller's
//! thread, inside of the program that makes the pages: when `push` returns, the recommendation for the next one is known. A
//! session ends after half an hour without a view. A view that comes too late, or has a category that nobody knows, changes
//! nothing and is counted.
//!
//! `cargo run --release -p pelton-io --example recommend`

use pelton::{Code, Job, Options, ProcessContext, ProcessFunction, Timestamp, callback, push};
use std::fmt::Write;
use std::sync::mpsc;
use std::time::Duration;

/// Events of different times may come out of order by so much.
const OUT_OF_ORDERNESS: Duration = Duration::from_secs(5);
const SESSION_GAP: Duration = Duration::from_secs(30 * 60);
const SHOES_WANTED: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Enum)]
#[repr(u32)]
enum Category {
    Books = 1,
    RunningShoes,
    Accessories,
}

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct View {
    #[event(time)]
    time: Timestamp,
    visitor: u32,
    category: Code<Category>,
}

/// What a visitor has viewed; zeros for a new one.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Session {
    latest: Timestamp,
    shoes: u32,
    recommended: Code<Category>,
}

#[derive(Clone)]
struct Recommend;

impl ProcessFunction<u32> for Recommend {
    type In = View;
    type State = Session;
    type Out = Code<Category>;

    fn on_row(
        &self,
        _: &u32,
        time: Timestamp,
        view: &View,
        session: &mut Session,
        context: &mut ProcessContext<'_, Code<Category>>,
    ) {
        if context.is_behind() {
            return;
        }
        if time.duration_since(session.latest) > SESSION_GAP {
            *session = Session { latest: time, shoes: 0, recommended: view.category };
        }
        session.latest = session.latest.max(time);
        session.shoes += u32::from(view.category == Category::RunningShoes);
        session.recommended = if session.shoes >= SHOES_WANTED { Category::Accessories.into() } else { view.category };
        context.emit(session.recommended);
    }
}

/// Seconds, visitors and categories.
fn views() -> Vec<View> {
    let views = [
        (0, 1, Category::RunningShoes.into()),
        (10, 2, Category::Books.into()),
        (20, 1, Category::RunningShoes.into()),
        (21, 2, bytemuck::cast(99u32)),
        (40, 1, Category::RunningShoes.into()),
        (45, 1, Category::Books.into()),
        (30, 2, Category::RunningShoes.into()),
        (2_000, 1, Category::Books.into()),
    ];
    let at = |second: i64| Timestamp::from_secs(1_704_205_800 + second);
    views.map(|(second, visitor, category)| View { time: at(second), visitor, category }).to_vec()
}

/// The pages that are shown, one a line.
pub(crate) fn run() -> Result<String, Box<dyn std::error::Error>> {
    let (mut input, source) = push::<View>(16);
    let (give, recommended) = mpsc::channel();
    let mut job = Job::new("recommend");
    job.source("views", source)
        .watermarks(pelton::Watermarks::bounded(OUT_OF_ORDERNESS))
        .filter(|view| view.category.get().is_some())
        .key_by(|view| view.visitor)
        .process("recommend", Recommend)
        .sink("recommendations", callback(move |_, category: &Code<Category>| _ = give.send(*category)));
    let mut job = job.inline(Options::workers(1))?;

    let mut pages = String::new();
    for view in views() {
        job.push(&mut input, &view)?;
        let (time, visitor) = (view.time, view.visitor);
        match recommended.try_recv().ok().and_then(Code::get) {
            Some(category) => writeln!(pages, "{time}: visitor {visitor} sees {category:?}")?,
            None => writeln!(pages, "{time}: visitor {visitor} sees what was there before")?,
        }
    }
    drop(input);
    let report = job.finish()?;
    report.balance()?;
    Ok(pages)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", run()?);
    Ok(())
}
