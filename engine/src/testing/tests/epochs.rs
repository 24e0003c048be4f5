//! Whole jobs that combine on each worker and crash at any moment: they end with the rows of one that nobody disturbed.
//! With a planted fault, by which a part counts rows in the wrong epoch, they do not, and that is found.

use crate::graph::connect::TypedChain;
use crate::graph::exchange::{AnyExchange, ExchangeSpec};
use crate::graph::factory::{AnyWay, BuildContext, Combining, StagePlan, StepFactory, WayIn};
use crate::graph::model::{Graph, Kind, StoreDeclaration};
use crate::graph::step::single_input;
use crate::graph::window::WindowSettings;
use crate::operator::aggregate::WindowAggregate;
use crate::operator::chain::Identity;
use crate::operator::window::merged::MergedOperator;
use crate::operator::window::part::{PartOperator, PartRef, PartTables};
use crate::runtime::route::ToOne;
use crate::runtime::task::Task;
use crate::store::pieces::PieceWriter;
use crate::store::{Scope, Share, Store, StoreError, StoreKind};
use crate::testing::CrashingDisk;
use crate::testing::mode::Random;
use crate::{
    Batch, BoxError, CheckpointOptions, Dictionary, Event, Firing, Job, Layout, Operator, OperatorError, OperatorInput,
    Options, Outbox, Record, Sink, SinkCheckpoint, Slot, Timestamp, Tumbling, VecSource, Watermarks, Windowed, sum,
};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone, Copy, Event)]
#[repr(C)]
struct Paid {
    #[event(time)]
    time_ns: i64,
    user: u64,
    cents: i64,
}

fn windows() -> Tumbling {
    Tumbling::of(Duration::from_nanos(1000))
}

fn user(paid: &Paid) -> u64 {
    paid.user
}

fn cents(paid: &Paid) -> i64 {
    paid.cents
}

/// What a part has marked, but for the marking.
#[derive(Default)]
struct Held {
    scope: Option<Scope>,
    /// Whether rows behind the barrier were added since.
    has_added: bool,
    /// How often it was asked to save something since.
    asked: u32,
}

/// A store that marks what it has only when rows behind the barrier are in it.
struct LateMark<'a> {
    store: &'a mut dyn Store,
    held: &'a mut Held,
}

impl Store for LateMark<'_> {
    fn kind(&self) -> StoreKind {
        self.store.kind()
    }

    fn layout(&self) -> Layout {
        self.store.layout()
    }

    fn bytes(&self) -> usize {
        self.store.bytes()
    }

    fn mark(&mut self, scope: Scope) {
        *self.held = Held { scope: Some(scope), ..Held::default() };
    }

    fn save(&mut self, out: &mut PieceWriter<'_>) -> bool {
        // Who has all room does not ask again, and there may be no more rows.
        self.held.asked += 1;
        if self.held.scope.is_some() && !self.held.has_added && self.held.asked < 100 && out.room() != usize::MAX {
            return false;
        }
        if let Some(scope) = self.held.scope.take() {
            self.store.mark(scope);
        }
        self.store.save(out)
    }

    fn restore(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        self.store.restore(share, piece, slots)
    }

    fn adopt(&mut self, share: Share, piece: &[u8], slots: &Range<Slot>) -> Result<(), StoreError> {
        self.store.adopt(share, piece, slots)
    }

    fn check(&self) -> Result<(), StoreError> {
        self.store.check()
    }
}

/// Parts whose stores mark late.
struct LateParts<Op> {
    operator: Op,
    held: Held,
}

impl<Op: Operator> Operator for LateParts<Op> {
    type Outputs = Op::Outputs;
    const LATE_OUTPUTS: &'static [usize] = Op::LATE_OUTPUTS;

    fn on_watermark(&mut self, watermark: Timestamp, out: &mut Outbox<Op::Outputs>) -> Result<Firing, OperatorError> {
        self.operator.on_watermark(watermark, out)
    }

    fn on_events_over(&mut self, watermark: Timestamp) {
        self.operator.on_events_over(watermark);
    }

    fn next_firing(&self) -> Timestamp {
        self.operator.next_firing()
    }

    fn needs_watermarks(&self) -> bool {
        self.operator.needs_watermarks()
    }

    fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
        let Self { operator, held } = self;
        operator.stores(&mut |name, store| show(name, &mut LateMark { store, held }));
    }
}

impl<Op: OperatorInput<0>> OperatorInput<0> for LateParts<Op> {
    type Row = Op::Row;

    fn on_batch(&mut self, batch: Batch<'_, Op::Row>, out: &mut Outbox<Op::Outputs>) -> Result<usize, OperatorError> {
        self.held.has_added = true;
        self.operator.on_batch(batch, out)
    }
}

/// A window step that combines on each worker with [`LateParts`].
struct Planted(Box<dyn StepFactory>);

impl StepFactory for Planted {
    fn stores(&self) -> Vec<StoreDeclaration> {
        self.0.stores()
    }

    fn needs_clocks(&self) -> bool {
        self.0.needs_clocks()
    }

    fn exchange(&self, input: usize, spec: &ExchangeSpec) -> AnyExchange {
        self.0.exchange(input, spec)
    }

    fn sender(&self, context: &BuildContext, input: usize, exchange: &AnyExchange, way: WayIn<'_>) -> AnyWay {
        self.0.sender(context, input, exchange, way)
    }

    fn call(&self, context: &BuildContext, plan: StagePlan<'_>, way: WayIn<'_>) -> AnyWay {
        self.0.call(context, plan, way)
    }

    fn task(&self, context: &BuildContext, plan: StagePlan<'_>, exchanges: &[AnyExchange]) -> Box<dyn Task> {
        self.0.task(context, plan, exchanges)
    }

    fn combining(&self) -> Option<Combining> {
        let tables = Arc::new(PartTables::new());
        let of_parts = tables.clone();
        let parts = single_input(
            |_, _| ToOne,
            false,
            move |context| {
                let (worker, stores) = (context.worker, &context.stores);
                let operator = PartOperator::new(worker, windows(), (user, sums()), stores, of_parts.clone());
                LateParts { operator, held: Held::default() }
            },
        );
        let merged = single_input(
            |_, _| ToOne,
            false,
            move |context| MergedOperator::<u64, _>::new(windows(), sums(), &context.stores, tables.clone()),
        );
        let connect = Box::new(TypedChain(Identity::<PartRef>::new()));
        Some(Combining { parts, merged, connect, part: PartRef::layout() })
    }
}

fn sums() -> impl WindowAggregate<u64, In = Paid, Acc = [u8; 16], Out = Windowed<u64, i128>> {
    crate::operator::aggregate::Rows::new(sum(cents), Windowed::new)
}

fn plant(graph: &mut Graph) {
    let whole = WindowSettings::new(windows().into()).step(user, sums());
    let step = graph.nodes.iter_mut().find(|node| &*node.name == "sums").unwrap();
    step.kind = Kind::Step(Box::new(Planted(whole)));
}

type Rows = Vec<(Timestamp, Windowed<u64, i128>)>;

/// Rows that outlive the job.
#[derive(Clone, Default)]
struct Tape {
    rows: Arc<Mutex<Rows>>,
    is_restored: bool,
}

impl Sink<Windowed<u64, i128>> for Tape {
    fn open(&mut self, _: &Arc<Dictionary>) -> Result<(), BoxError> {
        if !self.is_restored {
            self.rows.lock().unwrap().clear();
        }
        Ok(())
    }

    fn write(&mut self, times: &[Timestamp], rows: &[Windowed<u64, i128>]) -> Result<usize, BoxError> {
        self.rows.lock().unwrap().extend(times.iter().copied().zip(rows.iter().copied()));
        Ok(rows.len())
    }

    fn checkpoint(&mut self) -> Result<Option<SinkCheckpoint>, BoxError> {
        Ok(Some(SinkCheckpoint::new((self.rows.lock().unwrap().len() as u64).to_le_bytes())))
    }

    fn restore(&mut self, position: &[u8]) -> Result<(), BoxError> {
        self.rows.lock().unwrap().truncate(u64::from_le_bytes(position.try_into()?) as usize);
        self.is_restored = true;
        Ok(())
    }
}

fn job(paid: &[Paid], is_planted: bool, tape: &Tape) -> Job {
    let mut job = Job::new("sums");
    let source = job.source("paid", VecSource::new(paid.to_vec(), 8));
    let paid = source.watermarks(Watermarks::bounded(Duration::from_nanos(100)));
    let graph = paid.graph.clone();
    paid.key_by(user)
        .window(windows())
        .aggregate("sums", sum(cents))
        .sink("out", Tape { is_restored: false, ..tape.clone() });
    if is_planted {
        plant(&mut graph.borrow_mut());
    }
    job
}

/// Crashes a job some times, on two to four workers; how often it went on, or what is wrong.
fn hold(seed: u64, is_planted: bool) -> Result<u64, String> {
    let mut random = Random::new(seed);
    let paid: Vec<Paid> = (0..1000)
        .map(|at| Paid {
            time_ns: at * 40 - random.up_to(150) as i64 + 1000,
            user: random.up_to(9) as u64,
            cents: random.up_to(100) as i64,
        })
        .collect();
    let expected = Tape::default();
    job(&paid, false, &expected).run(Options::workers(1).pin(false)).map_err(|error| error.to_string())?;

    let (disk, tape) = (CrashingDisk::new(), Tape::default());
    let mut resumed = 0;
    for run in 0..8 {
        let workers = 1 + random.up_to(3);
        let checkpoints = CheckpointOptions::in_storage(disk.storage()).segment_bytes(4096).slice_bytes(64);
        let options = Options::workers(workers).pin(false).ring_bytes(64 << random.up_to(4)).checkpoints(checkpoints);
        let job = job(&paid, is_planted, &tape);
        let mut simulation = job.simulate(options).map_err(|error| error.to_string())?;
        let steps = if run == 7 { 1_000_000 } else { random.up_to(400) };
        let mut idle = 0;
        for _ in 0..steps {
            if simulation.is_ended() {
                break;
            }
            if random.up_to(10) == 1 {
                simulation.checkpoint(false).map_err(|error| error.to_string())?;
            }
            simulation.step_checkpoints();
            idle = if simulation.step(random.up_to(workers) - 1).made_progress() { 0 } else { idle + 1 };
            assert!(idle < 100_000, "seed {seed}: the job does not move on");
        }
        resumed += u64::from(simulation.report().recovery.is_some_and(|found| found.resumed_from > Some(1)));
        if simulation.is_ended() {
            simulation.finish().map_err(|error| error.to_string())?;
            let (found, expected) = (tape.rows.lock().unwrap(), expected.rows.lock().unwrap());
            let bytes = |rows: &Rows| -> Vec<_> {
                rows.iter().map(|(time, row)| (*time, bytemuck::bytes_of(row).to_vec())).collect()
            };
            let is_same = bytes(&found) == bytes(&expected);
            return if is_same { Ok(resumed) } else { Err(format!("seed {seed}: other rows")) };
        }
        drop(simulation);
        disk.crash(seed * 10 + run);
    }
    Err(format!("seed {seed}: it does not come to its end"))
}

#[test]
fn jobs_that_combine_and_crash_give_the_same_rows() {
    let resumed: u64 = (0..60).map(|seed| hold(seed, false).unwrap()).sum();
    assert!(resumed > 5, "{resumed} times a job went on from a checkpoint");
}

#[test]
fn a_part_that_counts_rows_in_the_wrong_epoch_is_found() {
    let wrong = (0..300).find_map(|seed| hold(seed, true).err());
    assert!(wrong.as_ref().is_some_and(|error| error.ends_with("other rows")), "{wrong:?}");
}
