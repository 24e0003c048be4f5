//! The sending side of a combined window step: aggregates what this worker reads, and brings the
//! slices of windows that are over.
//!
//! They are brought at the end of the block whose watermark reached their window, and announced before
//! that end's mark, numbered as events of that block would be; what is left is brought behind all
//! blocks. Their order among senders means nothing: the merge is exact.

use crate::base::blame;
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::{Chain, Identity};
use crate::operator::window::combine::Combiner;
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

/// Windows that are announced at once.
const AT_ONCE: usize = 256;

/// What is still owed to the next step.
#[derive(Clone, Copy)]
enum Pending {
    Nothing,
    Mark(BlockMark),
    End,
}

/// The way on which windows are announced by their starts.
type Announcements<R> = SendOutlet<Identity<Timestamp>, R, Seq>;

pub(crate) struct CombineOutlet<C: Chain, K: Key, F, A: Aggregate<K, In = C::Out>, R> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    combiner: Combiner<K, F, A>,
    next: Announcements<R>,
    late: FanOut<C::Out>,
    pending: Pending,
    /// While something is pending: its block, and the windows that were announced in it.
    sent: (u64, u64),
    times: Vec<Timestamp>,
    starts: Vec<Timestamp>,
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
    R: Route<Timestamp>,
{
    pub(crate) fn new(
        chain: C,
        combiner: Combiner<K, F, A>,
        (next, late): (Announcements<R>, FanOut<C::Out>),
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
            times: Vec::with_capacity(AT_ONCE),
            starts: Vec::with_capacity(AT_ONCE),
            counters,
            worker,
            shared,
        }
    }

    fn fail(&self, error: OperatorError) {
        self.shared.fail(Error::Step { step: self.counters.name.to_string(), error });
    }

    fn outputs_ready(&mut self) -> bool {
        let next = self.next.is_ready();
        self.late.is_ready() && next
    }

    /// Brings what the pending mark or end has set free; whether all of it has left.
    fn send(&mut self) -> bool {
        loop {
            let mark = match self.pending {
                Pending::Nothing => return true,
                Pending::Mark(mark) => mark,
                Pending::End => BlockMark::LAST,
            };
            self.times.clear();
            self.starts.clear();
            if let Err(error) = self.combiner.bring(mark.watermark, AT_ONCE, &mut self.times, &mut self.starts) {
                self.fail(error);
                return false;
            }
            if self.starts.is_empty() {
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
                self.sent.1 += self.starts.len() as u64;
                let rows = Rows::new(&self.times, &self.starts, places);
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
    R: Route<Timestamp>,
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
                    return combiner.add(Batch {
                        bounds: rows.bounds,
                        ahead: rows.ahead,
                        ..Batch::new(rows.times, rows.values)
                    });
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
            self.fail(error);
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.begin(Pending::Mark(mark), mark.block);
    }

    fn frontier(&mut self, place: Place) -> bool {
        let (next, late) = match self.pending {
            // Of a block's windows none was announced; at last they are behind all blocks.
            Pending::Nothing => (Place::block_start(place.block().min(BlockMark::LAST.block)), place),
            Pending::Mark(_) | Pending::End => {
                let sent = Place::event(self.sent.0, self.sent.1);
                (sent, sent)
            }
        };
        let next_told = self.next.frontier(next);
        let late_told = self.late.frontier(late);
        next_told && late_told && matches!(self.pending, Pending::Nothing)
    }

    fn end(&mut self) {
        self.begin(Pending::End, BlockMark::LAST.block);
    }
}
