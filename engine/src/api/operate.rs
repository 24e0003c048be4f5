//! Operators of one's own in a job.

use crate::api::keyed::{KeyedStep, KeyedStream, add_step, port};
use crate::api::output::{NodeOutputs, OUTPUTS, output_ports};
use crate::api::stream::{Stream, lead_both};
use crate::graph::factory::StepContext;
use crate::graph::model::{Graph, NodeId, Port};
use crate::graph::step::{single_input, two_inputs};
use crate::operator::chain::Chain;
use crate::operator::{Operator, OperatorInput, OperatorOutput, Outputs};
use crate::runtime::outputs::StepOutputs;
use crate::runtime::route::{KeyRoute, ToAll};
use crate::{Key, Record};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

/// The outputs of an operator in a job.
///
/// Rows of all outputs count as given on, but for those of [`Operator::LATE_OUTPUTS`].
pub struct OperatorStreams<O> {
    graph: Rc<RefCell<Graph>>,
    node: NodeId,
    outputs: PhantomData<fn() -> O>,
}

impl<O: Outputs> OperatorStreams<O> {
    const fn new(graph: Rc<RefCell<Graph>>, node: NodeId) -> Self {
        Self { graph, node, outputs: PhantomData }
    }

    /// The rows of an output.
    pub fn output<const PORT: usize>(&self) -> Stream<O::Row>
    where
        O: OperatorOutput<PORT>,
    {
        NodeOutputs::new(&self.graph, self.node).stream(PORT)
    }
}

#[expect(private_bounds, reason = "all outputs of operators are outputs of steps, as of a job as of the harness")]
impl<K, T, C, F> KeyedStream<K, T, C, F>
where
    K: Key,
    T: Record,
    C: Chain<Out = T>,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// Runs an [`Operator`] over the rows of this stream, one on each worker, over the keys that are the worker's. The
    /// name is the identity of its state. `make` is called on each worker, and before that to see what an operator keeps.
    ///
    /// ```
    /// use pelton::{
    ///     Batch, Firing, Job, KeyedTable, Operator, OperatorError, OperatorInput, Options, Outbox, Store, Timestamp,
    ///     VecSource, collect,
    /// };
    ///
    /// #[derive(Clone, Copy, pelton::Event)]
    /// #[repr(C)]
    /// struct Reading { #[event(time)] time_ns: i64, sensor: u64 }
    ///
    /// /// Numbers the rows of each sensor.
    /// struct Numbered(KeyedTable<u64, u64>);
    ///
    /// impl Operator for Numbered {
    ///     type Outputs = (u64,);
    ///     fn on_watermark(&mut self, _: Timestamp, _: &mut Outbox<(u64,)>) -> Result<Firing, OperatorError> {
    ///         Ok(Firing::Done)
    ///     }
    ///     fn next_firing(&self) -> Timestamp {
    ///         Timestamp::MAX
    ///     }
    ///     fn stores(&mut self, show: &mut dyn FnMut(&'static str, &mut dyn Store)) {
    ///         show("counts", &mut self.0);
    ///     }
    /// }
    ///
    /// impl OperatorInput<0> for Numbered {
    ///     type Row = Reading;
    ///     fn on_batch(&mut self, batch: Batch<'_, Reading>, out: &mut Outbox<(u64,)>) -> Result<usize, OperatorError> {
    ///         for (index, reading) in batch.values().iter().enumerate() {
    ///             if out.is_full() {
    ///                 return Ok(index);
    ///             }
    ///             let entry = self.0.find_or_insert(reading.sensor)?;
    ///             *self.0.value_mut(entry) += 1;
    ///             out.emit::<0>(index, batch.times()[index], *self.0.value(entry));
    ///         }
    ///         Ok(batch.len())
    ///     }
    /// }
    ///
    /// let readings = [7, 8, 7].map(|sensor| Reading { time_ns: 1, sensor });
    /// let mut job = Job::new("numbers");
    /// let (sink, rows) = collect();
    /// job.source("readings", VecSource::new(readings.into(), 64))
    ///     .key_by(|reading| reading.sensor)
    ///     .operate("numbered", |context| Numbered(KeyedTable::new(&context.stores)))
    ///     .output::<0>()
    ///     .sink("out", sink);
    /// job.run(Options::workers(2))?;
    /// assert_eq!(rows.take().iter().map(|row| row.1).collect::<Vec<_>>(), [1, 1, 2]);
    /// # Ok::<(), pelton::Error>(())
    /// ```
    pub fn operate<Op>(
        self,
        name: &str,
        make: impl Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
    ) -> OperatorStreams<Op::Outputs>
    where
        Op: OperatorInput<0, Row = T>,
        Op::Outputs: StepOutputs,
    {
        let Self { stream, key_of, .. } = self;
        let step = own_step::<K, Op>(name, vec![port::<T>("rows")]);
        let graph = stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let needs_clocks = make(&StepContext::declaring()).needs_watermarks();
            single_input(move |workers, seed| KeyRoute::new(key_of.clone(), workers, seed), needs_clocks, make)
        });
        stream.lead_to(node, 0);
        OperatorStreams::new(graph, node)
    }

    /// As [`KeyedStream::operate`], with the rows of this stream as input 0 and all rows of `broadcast` as input 1 on each
    /// worker: what they do must be the same on all.
    pub fn operate_with_broadcast<R, D, Op>(
        self,
        broadcast: Stream<R, D>,
        name: &str,
        make: impl Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
    ) -> OperatorStreams<Op::Outputs>
    where
        R: Record,
        D: Chain<Out = R>,
        Op: OperatorInput<0, Row = T> + OperatorInput<1, Row = R>,
        Op::Outputs: StepOutputs,
    {
        let key_of = self.key_of;
        let step = own_step::<K, Op>(name, vec![port::<T>("rows"), port::<R>("broadcast")]);
        let graph = self.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let needs_clocks = make(&StepContext::declaring()).needs_watermarks();
            let route = move |workers, seed| KeyRoute::new(key_of.clone(), workers, seed);
            two_inputs((route, |_, _| ToAll), needs_clocks, make)
        });
        lead_both(self.stream, broadcast, node);
        OperatorStreams::new(graph, node)
    }

    /// As [`KeyedStream::operate`], with the rows of this stream as input 0 and those of `right` as input 1.
    pub fn operate_with<R, D, FR, Op>(
        self,
        right: KeyedStream<K, R, D, FR>,
        name: &str,
        make: impl Fn(&StepContext) -> Op + Clone + Send + Sync + 'static,
    ) -> OperatorStreams<Op::Outputs>
    where
        R: Record,
        D: Chain<Out = R>,
        FR: Fn(&R) -> K + Clone + Send + Sync + 'static,
        Op: OperatorInput<0, Row = T> + OperatorInput<1, Row = R>,
        Op::Outputs: StepOutputs,
    {
        let (left_key, right_key) = (self.key_of, right.key_of);
        let step = own_step::<K, Op>(name, vec![port::<T>("left"), port::<R>("right")]);
        let graph = self.stream.graph.clone();
        let node = add_step(&mut graph.borrow_mut(), step, || {
            let needs_clocks = make(&StepContext::declaring()).needs_watermarks();
            let routes = (
                move |workers, seed| KeyRoute::new(left_key.clone(), workers, seed),
                move |workers, seed| KeyRoute::new(right_key.clone(), workers, seed),
            );
            two_inputs(routes, needs_clocks, make)
        });
        lead_both(self.stream, right.stream, node);
        OperatorStreams::new(graph, node)
    }
}

fn own_step<K: Key, Op: Operator>(name: &str, inputs: Vec<Port>) -> KeyedStep<'_> {
    KeyedStep {
        title: String::from("operator"),
        inputs,
        outputs: output_ports::<Op::Outputs>(OUTPUTS),
        key: K::layout(),
        name,
    }
}
