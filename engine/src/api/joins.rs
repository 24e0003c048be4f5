//! Joins of two keyed streams.

use crate::api::keyed::{KeyedStep, KeyedStream, add_step, port};
use crate::api::output::NodeOutputs;
use crate::api::stream::{Stream, lead_both};
use crate::graph::factory::StepContext;
use crate::graph::step::two_inputs;
use crate::operator::aggregate::Aggregate;
use crate::operator::chain::Chain;
use crate::operator::join::answered::AnsweredOperator;
use crate::operator::join::around::Around;
use crate::operator::join::as_of::AsOf;
use crate::operator::join::interval::{Interval, IntervalOperator};
use crate::operator::join::{FullOuter, Inner, JoinRows, LeftOuter, RightOuter};
use crate::operator::{Operator, OperatorInput};
use crate::runtime::route::KeyRoute;
use crate::{Key, Record, ShapeError};

/// The outputs of a join.
#[derive(Clone)]
pub struct JoinOutput<Out: Record, L: Record, R: Record> {
    /// The joined rows.
    pub main: Stream<Out>,
    /// Left rows that came too late. Where nothing takes them they are counted.
    pub late_left: Stream<L>,
    /// Right rows that came too late. Where nothing takes them they are counted.
    pub late_right: Stream<R>,
}

/// Two keyed streams, to be joined as of the left rows' times; made by [`KeyedStream::as_of_join`], where an example is.
pub struct AsOfJoin<K, L: Record, R: Record, C: Chain<Out = L>, D: Chain<Out = R>, FL, FR> {
    both: Both<K, L, R, C, D, FL, FR>,
    as_of: AsOf,
}

/// Two keyed streams, of which rows are joined that lie near each other in time; made by
/// [`KeyedStream::interval_join`], where an example is.
pub struct IntervalJoin<K, L: Record, R: Record, C: Chain<Out = L>, D: Chain<Out = R>, FL, FR> {
    both: Both<K, L, R, C, D, FL, FR>,
    interval: Interval,
}

/// The streams of a join.
struct Both<K, L: Record, R: Record, C: Chain<Out = L>, D: Chain<Out = R>, FL, FR> {
    left: KeyedStream<K, L, C, FL>,
    right: KeyedStream<K, R, D, FR>,
}

impl<K, L, C, FL> KeyedStream<K, L, C, FL>
where
    K: Key,
    L: Record,
    C: Chain<Out = L>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
{
    /// Joins each row with one row of `right` that has the same key: the latest at or before its own time
    /// ([`AsOf::backward`]), the first at or after it ([`AsOf::forward`]), or the nearest of both ([`AsOf::nearest`]).
    ///
    /// A row is answered once the watermark of both streams has come to its time, or with the other two to its time plus
    /// the tolerance. The joined row has the time at which it is answered; rows leave in order of (time, key, left row). Rows at or behind
    /// the watermark go to their side's late output.
    ///
    /// ```
    /// use pelton::{AsOf, Job, Options, VecSource, collect};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Trade { #[event(time)] time_ns: i64, symbol: u32, size: u32 }
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Quote { #[event(time)] time_ns: i64, symbol: u64, bid: i64 }
    ///
    /// let trades = vec![Trade { time_ns: 5, symbol: 1, size: 10 }];
    /// let quotes = [(1, 100), (4, 101), (6, 102)].map(|(time_ns, bid)| Quote { time_ns, symbol: 1, bid });
    /// let mut job = Job::new("quoted trades");
    /// let (sink, rows) = collect();
    /// let quotes = job.source("quotes", VecSource::new(quotes.into(), 64)).key_by(|quote| quote.symbol as u32);
    /// job.source("trades", VecSource::new(trades, 64))
    ///     .key_by(|trade| trade.symbol)
    ///     .as_of_join(quotes, AsOf::backward())
    ///     .inner("quoted", |trade: &Trade, quote: &Quote| i64::from(trade.size) * quote.bid)
    ///     .main
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(rows.take()[0].1, 1010);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn as_of_join<R, D, FR>(self, right: KeyedStream<K, R, D, FR>, as_of: AsOf) -> AsOfJoin<K, L, R, C, D, FL, FR>
    where
        R: Record,
        D: Chain<Out = R>,
        FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
    {
        AsOfJoin { both: Both { left: self, right }, as_of }
    }

    /// Joins each row with the rows of `right` that have the same key and lie in an interval around its own time.
    ///
    /// A pair leaves as soon as the second of its rows has come, and has the larger of their times. Rows at or behind the
    /// watermark go to their side's late output.
    ///
    /// ```
    /// use pelton::{Interval, Job, Options, collect};
    /// use std::time::Duration;
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Order { #[event(time)] time_ns: i64, id: u64 }
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Payment { #[event(time)] time_ns: i64, order: u64, cents: i64 }
    /// #[derive(Clone, Copy, pelton::Record)]
    /// #[repr(C)]
    /// struct Paid { order: u64, cents: i64 }
    ///
    /// let orders = [(10, 1), (20, 2)].map(|(time_ns, id)| Order { time_ns, id });
    /// let payments = [(12, 1, 500), (99, 2, 700)].map(|(time_ns, order, cents)| Payment { time_ns, order, cents });
    /// let mut job = Job::new("payments");
    /// let ((paid_sink, paid), (unpaid_sink, unpaid)) = (collect(), collect());
    /// let payments = job.source("payments", payments).key_by(|payment| payment.order);
    /// let orders = job.source("orders", orders).key_by(|order| order.id);
    /// // What was paid within 5 ns, and what was not.
    /// let within = Interval::around(Duration::ZERO, Duration::from_nanos(5));
    /// let joined = orders.interval_join(payments, within).left("joined", |order: &Order, payment: Option<&Payment>| {
    ///     Paid { order: order.id, cents: payment.map_or(0, |payment| payment.cents) }
    /// });
    /// joined.main.clone().filter(|row| row.cents > 0).sink("paid", paid_sink);
    /// joined.main.filter(|row| row.cents == 0).sink("unpaid", unpaid_sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(paid.take()[0].1.order, 1);
    /// assert_eq!(unpaid.take()[0].1.order, 2);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn interval_join<R, D, FR>(
        self,
        right: KeyedStream<K, R, D, FR>,
        interval: Interval,
    ) -> IntervalJoin<K, L, R, C, D, FL, FR>
    where
        R: Record,
        D: Chain<Out = R>,
        FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
    {
        IntervalJoin { both: Both { left: self, right }, interval }
    }
}

impl<K, L, R, C, D, FL, FR> Both<K, L, R, C, D, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Adds the step, whose operator is made of the functions that tell the keys.
    fn join<Out: Record, Op>(
        self,
        (name, title): (&str, String),
        needs_clocks: bool,
        make: impl Fn((FL, FR), &StepContext) -> Op + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R>
    where
        Op: Operator<Outputs = (Out, L, R)> + OperatorInput<0, Row = L> + OperatorInput<1, Row = R>,
    {
        let Self { left, right } = self;
        let (left_key, right_key) = (left.key_of, right.key_of);
        let step = KeyedStep {
            title,
            inputs: vec![port::<L>("left"), port::<R>("right")],
            outputs: vec![port::<Out>("main"), port::<L>("late left"), port::<R>("late right")],
            key: K::layout(),
            name,
        };
        let graph = left.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let (route_left, route_right) = (left_key.clone(), right_key.clone());
            let routes = (
                move |workers, seed| KeyRoute::new(route_left.clone(), workers, seed),
                move |workers, seed| KeyRoute::new(route_right.clone(), workers, seed),
            );
            two_inputs(routes, needs_clocks, move |context: &StepContext| {
                make((left_key.clone(), right_key.clone()), context)
            })
        });
        lead_both(left.stream, right.stream, node);
        let outputs = NodeOutputs::new(&graph, node);
        JoinOutput { main: outputs.stream(0), late_left: outputs.stream(1), late_right: outputs.stream(2) }
    }
}

/// How a join is called by the rows that it gives.
const fn words((left, right): (bool, bool)) -> &'static str {
    match (left, right) {
        (false, false) => "inner",
        (true, false) => "left",
        (false, true) => "right",
        (true, true) => "full",
    }
}

impl<K, L, R, C, D, FL, FR> AsOfJoin<K, L, R, C, D, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Gives a row for each left row that meets a right one. The name is the identity of the state.
    pub fn inner<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, Inner(join))
    }

    /// Gives a row for each left row, with the right row that it meets or none. The name is the identity of the state.
    pub fn left<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, LeftOuter(join))
    }

    fn add<J>(self, name: &str, join: J) -> JoinOutput<J::Out, L, R>
    where
        J: JoinRows<L, R> + Clone + Send + Sync,
    {
        let Self { both, as_of } = self;
        let title = format!("{} as-of join, {as_of}", words(J::OUTER));
        both.join((name, title), false, move |keys_of, context| {
            AnsweredOperator::new(keys_of, as_of, join.clone(), &context.stores)
        })
    }
}

impl<K, L, R, C, D, FL, FR> IntervalJoin<K, L, R, C, D, FL, FR>
where
    K: Key,
    L: Record,
    R: Record,
    C: Chain<Out = L>,
    D: Chain<Out = R>,
    FL: Fn(&L) -> K + Clone + Send + Sync + 'static,
    FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
{
    /// Gives a row for each pair that meets. The name is the identity of the state.
    pub fn inner<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, Inner(join))
    }

    /// Gives a row for each pair, and one for each left row that meets none: once none that is on time could, with the time
    /// at which that is known. The name is the identity of the state.
    pub fn left<Out: Record>(
        self,
        name: &str,
        join: impl Fn(&L, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, LeftOuter(join))
    }

    /// As [`IntervalJoin::left`], for right rows that meet none.
    pub fn right<Out: Record>(
        self,
        name: &str,
        join: impl Fn(Option<&L>, &R) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, RightOuter(join))
    }

    /// As [`IntervalJoin::left`], for rows of both sides that meet none. The function never gets none twice.
    pub fn full<Out: Record>(
        self,
        name: &str,
        join: impl Fn(Option<&L>, Option<&R>) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.add(name, FullOuter(join))
    }

    /// Gives a row for each left row, with an aggregate of the right rows that it meets, in order of time; the aggregate
    /// is `None` where it meets none. Each left row adds up what it meets by itself. The name is the identity of the state.
    ///
    /// It comes once none that is on time could be added: at the left row's time, or at the upper end of its interval where
    /// that is later, and has that time. Rows leave in order of (time, key, left row). (kdb+ calls this a window join, `wj1`.)
    ///
    /// ```
    /// use pelton::{Interval, Job, Options, collect, max};
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Trade { #[event(time)] time_ns: i64, symbol: u64 }
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Quote { #[event(time)] time_ns: i64, symbol: u64, bid: i64 }
    ///
    /// let trades = [5, 90].map(|time_ns| Trade { time_ns, symbol: 1 });
    /// let quotes = [(1, 100), (4, 103), (6, 101), (8, 109)].map(|(time_ns, bid)| Quote { time_ns, symbol: 1, bid });
    /// let mut job = Job::new("bids around trades");
    /// let (sink, rows) = collect();
    /// let quotes = job.source("quotes", quotes).key_by(|quote| quote.symbol);
    /// let trades = job.source("trades", trades).key_by(|trade| trade.symbol);
    /// // The best bid within 2 ns of each trade.
    /// trades
    ///     .interval_join(quotes, Interval::between_nanos(-2, 2))
    ///     .aggregate("best bid", max(|quote: &Quote| quote.bid), |_: &Trade, best: Option<&i64>| best.copied().unwrap_or(0))
    ///     .main
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(rows.take().into_iter().map(|(_, best)| best).collect::<Vec<_>>(), [103, 0]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn aggregate<A: Aggregate<In = R>, Out: Record>(
        self,
        name: &str,
        aggregate: A,
        join: impl Fn(&L, Option<&A::Value>) -> Out + Clone + Send + Sync + 'static,
    ) -> JoinOutput<Out, L, R> {
        self.note_mistake(|mistake| ShapeError::BadStep(name.to_owned(), mistake), self.interval.mistake());
        self.note_mistake(|mistake| ShapeError::BadAggregate(name.to_owned(), mistake), aggregate.mistake());
        let Self { both, interval } = self;
        let title = format!("aggregate of {interval}");
        both.join((name, title), false, move |keys_of, context| {
            let around = Around { interval, aggregate: aggregate.clone() };
            AnsweredOperator::new(keys_of, around, LeftOuter(join.clone()), &context.stores)
        })
    }

    fn add<J>(self, name: &str, join: J) -> JoinOutput<J::Out, L, R>
    where
        J: JoinRows<L, R> + Clone + Send + Sync,
    {
        self.note_mistake(|mistake| ShapeError::BadStep(name.to_owned(), mistake), self.interval.mistake());
        let Self { both, interval } = self;
        let title = format!("{} interval join, {interval}", words(J::OUTER));
        both.join((name, title), J::OUTER != (false, false), move |keys_of, context| {
            IntervalOperator::new(keys_of, interval, join.clone(), &context.stores)
        })
    }

    fn note_mistake(&self, make: impl FnOnce(&'static str) -> ShapeError, mistake: Option<&'static str>) {
        if let Some(mistake) = mistake {
            self.both.left.stream.graph.borrow_mut().mistakes.push(make(mistake));
        }
    }
}
