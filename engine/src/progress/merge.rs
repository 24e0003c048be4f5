//! The ordered merge: takes the rows of many edges in the order of their places.
//!
//! Each edge's rows grow in place, and each edge gives a lower bound for what is still to come: its
//! next row, its block mark, or the last frontier its sender told. The least row is taken once no
//! other edge can bring a lesser one. A sender tells its frontier also while it stalls, so the edge
//! that holds the others up always knows enough for the least row of all to be taken: a bounded
//! mesh cannot lock up.

use crate::Timestamp;
use crate::progress::mark::{BlockMark, Mark};
use crate::progress::place::{Order, Place, Places};
use crate::ring::local::Local;
use crate::ring::{Consumer, Producer};
use std::sync::Arc;

/// The sending end of an edge.
pub(crate) enum EdgeSender<O, T> {
    Ring(Producer<O, T, Mark>),
    Local(Local<O, T, Mark>),
}

impl<O: Order, T: bytemuck::Pod + Send> EdgeSender<O, T> {
    pub(crate) fn push(&mut self, times: &[Timestamp], orders: &[O], values: &[T]) -> usize {
        match self {
            Self::Ring(ring) => ring.push(times, orders, values),
            Self::Local(queue) => queue.push(times, orders, values),
        }
    }

    pub(crate) fn push_mark(&mut self, mark: Mark) -> bool {
        match self {
            Self::Ring(ring) => ring.push_mark(mark).is_ok(),
            Self::Local(queue) => queue.push_mark(mark),
        }
    }
}

/// The receiving end of an edge.
pub(crate) enum EdgeReceiver<O, T> {
    Ring(Consumer<O, T, Mark>),
    Local(Local<O, T, Mark>),
}

impl<O: Order, T: bytemuck::Pod + Send> EdgeReceiver<O, T> {
    fn with_rows<R>(&mut self, body: impl FnOnce(&[Timestamp], &[O], &[T]) -> (usize, R)) -> R {
        match self {
            Self::Ring(ring) => {
                let run = ring.peek();
                let (taken, result) = body(run.times, run.orders, run.values);
                ring.release(taken);
                result
            }
            Self::Local(queue) => queue.with_rows(body),
        }
    }

    fn next_mark(&mut self) -> Option<Mark> {
        match self {
            Self::Ring(ring) => ring.next_mark(),
            Self::Local(queue) => queue.next_mark(),
        }
    }

    /// Whether there is anything to take.
    #[inline]
    fn has_any(&mut self) -> bool {
        match self {
            Self::Ring(ring) => ring.has_any(),
            Self::Local(queue) => !queue.is_empty(),
        }
    }
}

/// What stands first on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Row,
    BlockEnd,
    Empty,
    Ended,
}

struct InEdge<O, T> {
    receiver: EdgeReceiver<O, T>,
    /// The input of a union that the edge belongs to, in range `0 .. ways`.
    way: usize,
    /// Nothing below this will come.
    bound: Place,
    /// Taken from the edge and not yet acted on.
    block_end: Option<BlockMark>,
    /// The watermark at the next row's own place, where that row lies behind it.
    behind: Option<Timestamp>,
    ended: bool,
    /// As of the last look.
    head: Head,
    /// As of the sender's last block end.
    watermark: Timestamp,
}

impl<O: Order, T: bytemuck::Pod + Send> InEdge<O, T> {
    /// Looks at the head and brings `bound` up to it.
    #[inline]
    fn look(&mut self) -> Head {
        if self.head != Head::Empty || self.receiver.has_any() {
            self.head = self.find_head();
        }
        self.head
    }

    fn find_head(&mut self) -> Head {
        loop {
            if self.ended {
                return Head::Ended;
            }
            if self.block_end.is_some() {
                return Head::BlockEnd;
            }
            match self.receiver.next_mark() {
                Some(Mark::Frontier(place)) => self.bound = self.bound.max(place),
                Some(Mark::Behind(watermark)) => self.behind = Some(watermark),
                Some(Mark::BlockEnd(mark)) => {
                    self.bound = self.bound.max(mark.place());
                    self.block_end = Some(mark);
                }
                Some(Mark::End) => {
                    self.bound = Place::MAX;
                    self.ended = true;
                }
                None => {
                    let block = self.bound.block();
                    let first =
                        self.receiver.with_rows(|_, orders, _| (0, orders.first().map(|order| order.place(block))));
                    return match first {
                        Some(place) => {
                            self.bound = self.bound.max(place);
                            Head::Row
                        }
                        None => Head::Empty,
                    };
                }
            }
        }
    }
}

/// A run of rows as the merge gives it on.
pub(crate) struct MergedRows<'a, T> {
    pub(crate) times: &'a [Timestamp],
    pub(crate) values: &'a [T],
    pub(crate) places: Places<'a>,
    /// The combined watermark at the row's own place, for a row that lies behind; then it is alone.
    pub(crate) behind: Option<Timestamp>,
}

/// What the merge found next.
pub(crate) enum Next {
    /// Rows were given on.
    Rows { given: usize, taken: usize },
    /// A block has ended on all edges; the watermark is combined.
    BlockEnd(BlockMark),
    /// Nothing can be taken now; nothing below the place will come.
    Starved(Place),
    /// All edges have ended.
    Ended,
}

/// The sources that an input of a union comes from, in growing order.
pub(crate) type Roots = Arc<[usize]>;

/// The watermark of one input of a union.
#[derive(Debug, Clone)]
struct WayState {
    roots: Roots,
    /// As of the last block end.
    watermark: Timestamp,
    idle: bool,
}

/// The edges into one step on one worker, in the order of their places.
pub(crate) struct Merge<O, T> {
    edges: Vec<InEdge<O, T>>,
    ways: Vec<WayState>,
    /// Exchanges that the rows passed before this one.
    level: usize,
    /// The combined watermark; it never goes back.
    watermark: Timestamp,
    /// Whether each sender holds rows back until its own watermark has passed them: then the combined
    /// watermark is the least of all senders', not that of the block that has ended, and rows are taken
    /// as they come.
    senders_hold_back: bool,
}

impl<O: Order, T: bytemuck::Pod + Send> Merge<O, T> {
    /// A merge of edges, each with the input of the union that it belongs to, in range
    /// `0 .. ways.len()`.
    pub(crate) fn new(level: usize, ways: &[Roots], receivers: Vec<(usize, EdgeReceiver<O, T>)>) -> Self {
        let way = |roots: &Roots| WayState { roots: roots.clone(), watermark: Timestamp::MIN, idle: false };
        let edge = |(way, receiver)| InEdge {
            receiver,
            way,
            bound: Place::MIN,
            block_end: None,
            behind: None,
            ended: false,
            head: Head::Empty,
            watermark: Timestamp::MIN,
        };
        Self {
            edges: receivers.into_iter().map(edge).collect(),
            ways: ways.iter().map(way).collect(),
            level,
            watermark: Timestamp::MIN,
            senders_hold_back: false,
        }
    }

    /// A merge of the edges of one input, whose senders hold rows back.
    pub(crate) fn of_combiners(level: usize, way: Roots, receivers: Vec<(usize, EdgeReceiver<O, T>)>) -> Self {
        Self { senders_hold_back: true, ..Self::new(level, &[way], receivers) }
    }

    /// Nothing below this place will come, by what the senders have told up to now.
    pub(crate) fn lower_bound(&mut self) -> Place {
        let bounds = self.edges.iter_mut().map(|edge| {
            edge.look();
            edge.bound
        });
        bounds.min().unwrap_or(Place::MAX)
    }

    /// Whether anything came since nothing could be taken.
    #[inline]
    pub(crate) fn has_news(&mut self) -> bool {
        self.edges.iter_mut().any(|edge| edge.head == Head::Empty && edge.receiver.has_any())
    }

    /// Takes the next run of rows, or the next block's end. `body` takes a prefix of the rows.
    pub(crate) fn next(&mut self, body: impl FnOnce(MergedRows<'_, T>) -> usize) -> Next {
        // Looked at once: an edge that gets something meanwhile shows it next time.
        let mut least: Option<(Place, usize)> = None;
        for (index, edge) in self.edges.iter_mut().enumerate() {
            if edge.look() != Head::Ended && least.is_none_or(|(place, _)| edge.bound < place) {
                least = Some((edge.bound, index));
            }
        }
        let Some((place, first)) = least else { return Next::Ended };
        if self.senders_hold_back
            && let Some(any) = self.edges.iter().position(|edge| edge.head == Head::Row)
        {
            // Such rows mean the same in any order.
            return self.take_rows(any, Place::MAX, true, body);
        }
        match self.edges[first].head {
            Head::Row => {
                let (limit, is_included) = self.limit_of(first);
                self.take_rows(first, limit, is_included, body)
            }
            // A block's end is acted on when no edge can bring anything at or below it.
            Head::BlockEnd => {
                let at_place = self.edges.iter().filter(|edge| edge.bound == place);
                match self.edges[first].block_end {
                    Some(mark) if at_place.clone().all(|edge| edge.head == Head::BlockEnd) => {
                        Next::BlockEnd(self.take_block_end(mark))
                    }
                    _ => Next::Starved(place),
                }
            }
            Head::Empty | Head::Ended => Next::Starved(place),
        }
    }

    /// The place that rows of edge `index` must not pass, and whether one may stand at it: rows at the
    /// limit itself belong to the edge with the lower index.
    fn limit_of(&self, index: usize) -> (Place, bool) {
        let mut limit = Place::MAX;
        let mut limit_included = true;
        for (other, edge) in self.edges.iter().enumerate().filter(|(other, _)| *other != index) {
            if edge.bound < limit {
                limit = edge.bound;
                limit_included = index < other;
            } else if edge.bound == limit {
                limit_included &= index < other;
            }
        }
        (limit, limit_included)
    }

    /// Gives on the rows of edge `index` up to a limit.
    fn take_rows(
        &mut self,
        index: usize,
        limit: Place,
        limit_included: bool,
        body: impl FnOnce(MergedRows<'_, T>) -> usize,
    ) -> Next {
        let others = self.watermark_of_others(self.edges[index].way);
        let edge = &mut self.edges[index];
        let block = edge.bound.block();
        let behind = edge.behind.map(|watermark| watermark.min(others));
        let (given, taken, last) = edge.receiver.with_rows(|times, orders, values| {
            let below = |order: &O| {
                let place = order.place(block);
                place < limit || (limit_included && place == limit)
            };
            let mut given = match orders.last() {
                Some(last) if below(last) => orders.len(),
                _ => orders.partition_point(below),
            };
            if behind.is_some() {
                given = given.min(1);
            }
            let places = O::places(block, &orders[..given]);
            let rows = MergedRows { times: &times[..given], values: &values[..given], places, behind };
            let taken = body(rows);
            let last = taken.checked_sub(1).map(|last| orders[last].place(block));
            (taken, (given, taken, last))
        });
        if let Some(last) = last {
            // All that the row becomes here has left when it was taken.
            edge.bound = last.behind_all_it_becomes(self.level + 1);
            edge.behind = None;
        }
        Next::Rows { given, taken }
    }

    /// Drops this block's end from all edges and combines their watermarks.
    fn take_block_end(&mut self, mark: BlockMark) -> BlockMark {
        let after = Place::block_start(mark.block + 1);
        for edge in &mut self.edges {
            if let Some(own) = edge.block_end.take_if(|own| own.block == mark.block) {
                let way = &mut self.ways[edge.way];
                way.watermark = way.watermark.max(own.watermark);
                way.idle = own.idle;
                edge.watermark = own.watermark;
                edge.bound = after;
            }
        }
        let active = self.ways.iter().filter(|way| !way.idle).map(|way| way.watermark).min();
        let combined = if self.senders_hold_back {
            // Of one that has ended too, as it was: all receivers see the same, whenever they look.
            self.edges.iter().map(|edge| edge.watermark).min()
        } else {
            active
        };
        let combined = combined.unwrap_or(self.watermark);
        self.watermark = self.watermark.max(combined);
        BlockMark { block: mark.block, watermark: self.watermark, idle: active.is_none() }
    }

    /// The least watermark of the other inputs at the place of a row of input `way`.
    ///
    /// Blocks come one after another, so the watermark of another source is that of its last block's
    /// end. An input from no other sources has the row's own watermark.
    fn watermark_of_others(&self, way: usize) -> Timestamp {
        let own = &self.ways[way].roots;
        let is_other = |state: &&WayState| !state.idle && state.roots.iter().any(|root| !own.contains(root));
        self.ways.iter().filter(is_other).map(|state| state.watermark).min().unwrap_or(Timestamp::MAX)
    }
}
