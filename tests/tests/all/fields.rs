//! Events with fields of every kind, keyed by tuples, arrays and truth values: the same bytes at any number of workers, and
//! when a job stops and goes on.

use pelton::{
    Bool, CheckpointOptions, Code, Collected, Job, Maybe, Options, ProcessContext, ProcessFunction, Record, Timestamp,
    Tumbling, Tuple2, Tuple3, VecSource, Windowed, collect, count, sum,
};
use pelton_io::sink::{Format, RowEncoder};
use pelton_tests::rng::Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const EVENTS: i64 = 3000;
const STEP_NS: i64 = 10;
const WINDOW_NS: i64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Enum)]
#[repr(i8)]
enum Side {
    Buy = 1,
    Sell = -1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record)]
#[repr(C)]
struct Level {
    price: i64,
    size: u32,
    orders: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Record, pelton::Key)]
#[repr(transparent)]
struct User(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Event)]
#[repr(C, packed)]
struct Order {
    is_firm: Bool,
    side: Code<Side>,
    user: User,
    #[event(time)]
    time_ns: i64,
    level: Level,
    pages: [u16; 2],
    limit: Maybe<i32>,
}

/// Orders of which some have bytes that only a damaged file has.
fn orders() -> Vec<Order> {
    let mut rng = Rng::new(7);
    let bytes = |rng: &mut Rng, right: [u8; 2]| if rng.below(50) == 0 { 7 } else { right[rng.below(2) as usize] };
    let order = |i| {
        let level = Level { price: rng.below(1000) as i64 - 500, size: rng.below(9) as u32, orders: 1 };
        Order {
            is_firm: bytemuck::cast(bytes(&mut rng, [0, 1])),
            side: bytemuck::cast(bytes(&mut rng, [1, u8::MAX])),
            user: User(rng.below(5) as u32),
            time_ns: i * STEP_NS,
            level,
            pages: [rng.below(2) as u16, rng.below(300) as u16],
            limit: Some(rng.below(3) as i32 - 1).filter(|limit| *limit != 0).into(),
        }
    };
    (0..EVENTS).map(order).collect()
}

/// What a user's last order on a side was.
#[derive(Debug, Clone, Copy, PartialEq, pelton::Record)]
#[repr(C, packed)]
struct Seen {
    orders: u32,
    limit: Maybe<i32>,
    is_firm: Bool,
    sizes: [u32; 2],
}

/// An order beside the one before.
#[derive(Debug, Clone, Copy, PartialEq, pelton::Record)]
#[repr(C, packed)]
struct Change {
    key: Tuple2<User, Code<Side>>,
    before: Seen,
    level: Level,
}

#[derive(Clone)]
struct Changes;

impl ProcessFunction<Tuple2<User, Code<Side>>> for Changes {
    type In = Order;
    type State = Seen;
    type Out = Change;

    fn on_row(
        &self,
        key: &Tuple2<User, Code<Side>>,
        _: Timestamp,
        order: &Order,
        seen: &mut Seen,
        context: &mut ProcessContext<'_, Change>,
    ) {
        context.emit(Change { key: *key, before: *seen, level: order.level });
        let sizes = [{ seen.sizes }[1], { order.level }.size];
        *seen = Seen { orders: seen.orders + 1, limit: order.limit, is_firm: order.is_firm, sizes };
    }
}

type ByTuple = Windowed<Tuple3<User, Code<Side>, Bool>, Tuple2<u64, i128>>;

/// What a job gives, row by row.
struct Outputs {
    by_tuple: Collected<ByTuple>,
    by_pages: Collected<Windowed<[u16; 2], u64>>,
    by_limit: Collected<Windowed<Maybe<i32>, u64>>,
    is_large: Collected<Windowed<Bool, u64>>,
    changes: Collected<Change>,
}

/// The bytes of all rows with their times.
fn bytes_of<T: Record>(rows: &Collected<T>, out: &mut Vec<u8>) {
    for (time, row) in rows.take() {
        out.extend_from_slice(bytemuck::bytes_of(&time));
        out.extend_from_slice(bytemuck::bytes_of(&row));
    }
}

fn job(block: usize) -> (Job, Outputs) {
    let window = || Tumbling::of(Duration::from_nanos(WINDOW_NS as u64));
    let mut job = Job::new("orders");
    let orders = job.source("orders", VecSource::new(orders(), block));
    let (sink, by_tuple) = collect();
    let windows = orders
        .clone()
        .key_by(|order| (order.user, order.side, order.is_firm))
        .window(window())
        .aggregate("by_tuple", (count(), sum(|order: &Order| order.level.price)));
    windows.sink("by_tuple out", sink);
    let (sink, is_large) = collect();
    let large = windows.key_by(|row| row.value().parts().0 > 3).window(window());
    large.aggregate("is_large", count()).sink("is_large out", sink);
    let (sink, by_pages) = collect();
    orders
        .clone()
        .key_by(|order| order.pages)
        .window(window())
        .aggregate("by_pages", count())
        .sink("by_pages out", sink);
    let (sink, by_limit) = collect();
    orders
        .clone()
        .key_by(|order| order.limit)
        .window(window())
        .aggregate("by_limit", count())
        .sink("by_limit out", sink);
    let (sink, changes) = collect();
    orders.key_by(|order| (order.user, order.side)).process("changes", Changes).sink("changes out", sink);
    (job, Outputs { by_tuple, by_pages, by_limit, is_large, changes })
}

impl Outputs {
    /// The bytes of each output.
    fn bytes(&self, out: &mut [Vec<u8>; 5]) {
        let [by_tuple, by_pages, by_limit, is_large, changes] = out;
        bytes_of(&self.by_tuple, by_tuple);
        bytes_of(&self.by_pages, by_pages);
        bytes_of(&self.by_limit, by_limit);
        bytes_of(&self.is_large, is_large);
        bytes_of(&self.changes, changes);
    }
}

fn options(workers: usize) -> Options {
    Options::workers(workers).pin(false)
}

fn run(workers: usize, block: usize) -> [Vec<u8>; 5] {
    let (job, outputs) = job(block);
    job.run(options(workers)).unwrap().balance().unwrap();
    let mut bytes = Default::default();
    outputs.bytes(&mut bytes);
    bytes
}

#[test]
fn windows_of_tuples_are_what_a_map_counts_and_in_the_order_of_their_parts() {
    let (job, outputs) = job(64);
    job.run(options(2)).unwrap();
    let mut expected = BTreeMap::new();
    for order in orders() {
        let end = (order.time_ns / WINDOW_NS + 1) * WINDOW_NS;
        let key = (end, { order.user }.0, { order.side }.code(), bytemuck::cast::<Bool, u8>(order.is_firm));
        let (count, sum) = expected.entry(key).or_insert((0, 0i128));
        (*count, *sum) = (*count + 1, *sum + i128::from({ order.level }.price));
    }
    let expected: Vec<_> = expected.into_iter().collect();
    assert!(expected.iter().any(|((_, _, side, firm), _)| *side == 7 && *firm == 7), "no damaged bytes");
    let found: Vec<_> = outputs
        .by_tuple
        .take()
        .iter()
        .map(|(_, row)| {
            let (user, side, is_firm) = row.key().parts();
            assert_eq!(
                side.get(),
                match side.code() {
                    1 => Some(Side::Buy),
                    -1 => Some(Side::Sell),
                    _ => None,
                }
            );
            let key = (row.window().end.as_nanos(), user.0, side.code(), bytemuck::cast::<Bool, u8>(is_firm));
            (key, row.value().parts())
        })
        .collect();
    assert_eq!(found, expected);

    let limits: Vec<_> = outputs.by_limit.take().iter().map(|(_, row)| row.key().get()).collect();
    assert_eq!(limits[..3], [None, Some(-1), Some(1)]);
    let large: Vec<_> = outputs.is_large.take().iter().map(|(_, row)| row.key().get()).collect();
    assert_eq!(large[..2], [false, true]);
    let pages: Vec<_> = outputs.by_pages.take().iter().map(|(_, row)| (row.window().end, row.key())).collect();
    assert!(pages.is_sorted() && pages.iter().any(|(_, key)| key[1] > 255));
}

#[test]
fn a_job_gives_the_same_bytes_at_any_number_of_workers() {
    let expected = run(1, 64);
    assert!(expected.iter().all(|bytes| !bytes.is_empty()));
    for workers in 1..=3 {
        for block in [1, 64, 4096] {
            assert!(run(workers, block) == expected, "{workers} workers, blocks of {block}");
        }
    }
}

fn run_in(state: &Path, workers: usize, stop_at: Option<i64>, bytes: &mut [Vec<u8>; 5]) -> bool {
    let (job, outputs) = job(64);
    let mut checkpoints = CheckpointOptions::in_directory(state);
    if let Some(time) = stop_at {
        checkpoints = checkpoints.stop_at(Timestamp::from_nanos(time));
    }
    let report = job.run(options(workers).checkpoints(checkpoints)).unwrap();
    outputs.bytes(bytes);
    report.halted
}

#[test]
fn a_job_that_stops_and_goes_on_gives_the_same_bytes() {
    let expected = run(1, 64);
    for workers in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let state = tempfile::tempdir().unwrap();
        let mut bytes = Default::default();
        let stops = [Some(EVENTS * STEP_NS / 3), Some(EVENTS * STEP_NS * 2 / 3), None];
        let halted: Vec<_> =
            workers.iter().zip(stops).map(|(&workers, stop)| run_in(state.path(), workers, stop, &mut bytes)).collect();
        assert_eq!(halted, [true, true, false]);
        assert!(bytes == expected, "{workers:?} workers");
    }
}

#[test]
fn columns_of_windows_and_nested_fields_have_names_of_their_own() {
    for (layout, header) in [
        (ByTuple::layout(), "window_start,window_end,key_1,key_2,key_3,value_1,value_2"),
        (Windowed::<[u16; 2], Maybe<f64>>::layout(), "window_start,window_end,key_0,key_1,value"),
        (Order::layout(), "is_firm,side,user,time_ns,level.price,level.size,level.orders,pages_0,pages_1,limit"),
        (
            Change::layout(),
            "key_1,key_2,before.orders,before.limit,before.is_firm,before.sizes_0,before.sizes_1,level.price,level.size,\
             level.orders",
        ),
    ] {
        layout.check().unwrap();
        let mut out = Vec::new();
        RowEncoder::new(&layout, Format::Csv).header(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{header}\n"));
    }
}
