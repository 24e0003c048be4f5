//! The sending side of a combined window step: aggregates what this worker reads, and sends partial
//! results when their windows are over.
//!
//! Partial results leave at the end of the block whose watermark reached their window, before that
//! end's mark, numbered as events of that block would be; what is left leaves behind all blocks. Their
//! order among senders means nothing: the merge is exact.

use crate::base::blame;
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::{Chain, Identity};
use crate::operator::window::combine::{Combiner, Partial};
use crate::operator::{Batch, OperatorError};
use crate::progress::mark::BlockMark;
use crate::progress::place::{Place, Places, Seq};
use crate::runtime::chained::{ChainBuffer, apply, position_of};
use crate::runtime::metrics::{StepCounters, add};
use crate::runtime::outlet::{FanOut, Outlet, Rows};
use crate::runtime::send::{Route, SendOutlet};
use crate::runtime::shared::JobShared;
use crate::{Error, Key, Timestamp};
use std::sync::Arc;

/// Partial results that leave at once.
const PARTIALS: usize = 1024;

/// What is still owed to the next step.
#[derive(Clone, Copy)]
enum Pending {
    Nothing,
    Mark(BlockMark),
    End,
}

/// The outlet that sends partial results.
type Partials<K, A, R> = SendOutlet<Identity<Partial<K, A>>, R, Seq>;

pub(crate) struct CombineOutlet<C: Chain, K: Key, F, A: Aggregate<K, In = C::Out>, R> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    combiner: Combiner<K, F, A>,
    next: Partials<K, A::Acc, R>,
    late: FanOut<C::Out>,
    pending: Pending,
    /// While something is pending: its block, and the partial results that have left in it.
    sent: (u64, u64),
    times: Vec<Timestamp>,
    partials: Vec<Partial<K, A::Acc>>,
    counters: Arc<StepCounters>,
    worker: usize,
    shared: Arc<JobShared>,
}

impl<C, K, F, A, R> CombineOutlet<C, K, F, A, R>
where
    C: Chain,
    K: Key,
    F: Fn(&C::Out) -> K,
    A: Aggregate<K, In = C::Out>,
    R: Route<Partial<K, A::Acc>>,
{
    pub(crate) fn new(
        chain: C,
        combiner: Combiner<K, F, A>,
        (next, late): (Partials<K, A::Acc, R>, FanOut<C::Out>),
        counters: Arc<StepCounters>,
        worker: usize,
        shared: Arc<JobShared>,
    ) -> Self {
        Self {
            chain,
            buffer: ChainBuffer::new(),
            combiner,
            next,
            late,
            pending: Pending::Nothing,
            sent: (0, 0),
            times: Vec::with_capacity(PARTIALS),
            partials: Vec::with_capacity(PARTIALS),
            counters,
            worker,
            shared,
        }
    }

    fn outputs_ready(&mut self) -> bool {
        let next = self.next.is_ready();
        self.late.is_ready() && next
    }

    /// Sends what the pending mark or end has set free; whether all of it has left.
    fn send(&mut self) -> bool {
        loop {
            let mark = match self.pending {
                Pending::Nothing => return true,
                Pending::Mark(mark) => mark,
                Pending::End => BlockMark::LAST,
            };
            self.times.clear();
            self.partials.clear();
            self.combiner.take(mark.watermark, PARTIALS, &mut self.times, &mut self.partials);
            if self.partials.is_empty() {
                match std::mem::replace(&mut self.pending, Pending::Nothing) {
                    Pending::End => {
                        self.next.end();
                        self.late.end();
                    }
                    _ => {
                        self.next.mark(mark);
                        self.late.mark(mark);
                    }
                }
            } else {
                let (block, first) = self.sent;
                let places = Places::Run { block, first };
                self.sent.1 += self.partials.len() as u64;
                let rows = Rows { times: &self.times, values: &self.partials[..], places, bounds: None, behind: None };
                self.next.rows(rows);
            }
            if !self.outputs_ready() {
                return false;
            }
        }
    }

    fn begin(&mut self, pending: Pending, block: u64) {
        self.pending = pending;
        self.sent = (block, 0);
        self.send();
    }
}

impl<C, K, F, A, R> Outlet<C::In> for CombineOutlet<C, K, F, A, R>
where
    C: Chain,
    C::Out: bytemuck::Pod,
    K: Key,
    F: Fn(&C::Out) -> K,
    A: Aggregate<K, In = C::Out>,
    R: Route<Partial<K, A::Acc>>,
{
    fn is_ready(&mut self) -> bool {
        self.outputs_ready() && self.send()
    }

    fn rows(&mut self, rows: Rows<'_, C::In>) {
        let Self { chain, buffer, combiner, late, counters, .. } = self;
        let rows = apply(chain, rows, buffer);
        let counters = counters.of(self.worker);
        add(&counters.sent, rows.values.len() as u64);
        add(&counters.rows_in, rows.values.len() as u64);
        let added = blame::at_position(
            |index| position_of(&rows.places, index),
            || -> Result<(), OperatorError> {
                let Some(watermark) = rows.behind else {
                    return combiner.add(Batch { bounds: rows.bounds, ..Batch::new(rows.times, rows.values) });
                };
                // All rows of one that is behind go one way: they have its time.
                match rows.times.first() {
                    Some(time) if combiner.is_late(*time, watermark) => {
                        add(&counters.late, rows.values.len() as u64);
                        late.rows(rows);
                        Ok(())
                    }
                    _ => combiner.add(Batch::new(rows.times, rows.values)),
                }
            },
        );
        if let Err(error) = added {
            self.shared.fail(Error::Step { step: self.counters.name.to_string(), error });
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.begin(Pending::Mark(mark), mark.block);
    }

    fn frontier(&mut self, place: Place) {
        let (next, late) = match self.pending {
            // Of a block's partial results none has left; at last they leave behind all blocks.
            Pending::Nothing => (Place::block_start(place.block().min(BlockMark::LAST.block)), place),
            Pending::Mark(_) | Pending::End => {
                let sent = Place::event(self.sent.0, self.sent.1);
                (sent, sent)
            }
        };
        self.next.frontier(next);
        self.late.frontier(late);
    }

    fn end(&mut self) {
        self.begin(Pending::End, BlockMark::LAST.block);
    }
}
