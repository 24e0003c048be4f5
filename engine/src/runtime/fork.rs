//! A stateless step with several outputs, as whoever feeds it sees it.
//!
//! It is part of the way that feeds it, as a chain is: rows are made where they come, keep their places, and wait for
//! nothing. The function runs once for each row, whoever takes what it emits.

use crate::Timestamp;
use crate::base::blame;
use crate::operator::chain::Chain;
use crate::operator::emitted::{Emitted, Emitter};
use crate::operator::{OUTPUTS_MAX, Outputs};
use crate::progress::mark::Barrier;
use crate::progress::place::Place;
use crate::runtime::outputs::{StepOutputs, Ways};
use crate::runtime::receiver::{Flow, Needs, Receiver};
use crate::runtime::rows::Rows;
use std::sync::Arc;

/// A function with several outputs, behind a fused chain.
pub(crate) struct Fork<C, Out: Emitted<Outputs: StepOutputs>, F> {
    chain: C,
    function: F,
    step: Arc<str>,
    /// What was made of a batch.
    columns: <Out::Outputs as Outputs>::Columns<u32>,
    taken: [bool; OUTPUTS_MAX],
    ways: <Out::Outputs as StepOutputs>::Ways,
}

impl<C, Out: Emitted<Outputs: StepOutputs>, F> Fork<C, Out, F> {
    pub(crate) fn new(chain: C, function: F, step: Arc<str>, ways: <Out::Outputs as StepOutputs>::Ways) -> Self {
        Self { chain, function, step, columns: Out::Outputs::columns(0), taken: ways.taken(), ways }
    }
}

impl<C, Out: Emitted<Outputs: StepOutputs>, F> Flow for Fork<C, Out, F> {
    fn is_ready(&mut self) -> bool {
        self.ways.is_ready()
    }

    fn frontier(&mut self, place: Place, pauses: bool) -> bool {
        self.ways.frontier(place, pauses)
    }

    fn barrier(&mut self, barrier: Barrier) -> bool {
        self.ways.barrier(barrier)
    }

    fn work(&mut self) -> bool {
        self.ways.work()
    }

    fn end(&mut self) {
        self.ways.end();
    }

    fn needs(&self) -> Needs {
        // What is made has the places of what it is made of.
        self.ways.needs().and(Needs { places: true, clocks: false })
    }
}

impl<C, Out, F> Receiver<C::In> for Fork<C, Out, F>
where
    C: Chain,
    Out: Emitted<Outputs: StepOutputs>,
    F: Fn(&C::Out, &mut Emitter<'_, Out>),
{
    fn rows(&mut self, rows: Rows<'_, C::In>) -> usize {
        let Self { chain, function, step, columns, taken, ways } = self;
        let mut make = |index: usize, time: Timestamp, value: &C::In| {
            chain.each(value, &mut |row| {
                let mut out = Emitter::<Out>::new(columns, *taken, (index, time));
                blame::in_step(step, || function(&row, &mut out));
            });
        };
        blame::at_position(
            |index| rows.position(index),
            || {
                for (index, (time, value)) in rows.times.iter().zip(rows.values).enumerate() {
                    rows.ahead.fetch(value);
                    blame::at_index(index, || make(index, *time, value));
                }
            },
        );
        ways.give_made(columns, &rows);
        rows.len()
    }
}
