//! The outputs of an operator with the ways out of each.

use crate::operator::{Cause, OUTPUTS_MAX, OutColumns, Outputs};
use crate::progress::mark::Barrier;
use crate::progress::order::{Clocks, Placed, Places};
use crate::progress::place::Place;
use crate::runtime::chained::StandsOf;
use crate::runtime::receiver::{FanOut, Flow, Needs, Receiver, WayOut};
use crate::runtime::rows::Rows;
use crate::{Record, Timestamp};
use std::any::Any;

/// What the emitted rows were caused by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// Of the rows of the batch.
    pub(crate) places: Places<'a>,
    pub(crate) clocks: Clocks<'a>,
    /// Of the step that fires: its bound, and its rank among steps.
    pub(crate) bound: i64,
    pub(crate) rank: usize,
    /// What is fired behind this is fired after all events.
    pub(crate) end: Timestamp,
}

/// Emitted rows, whose places follow from what caused them.
#[derive(Debug)]
struct Caused<'a> {
    causes: &'a [Cause],
    origin: Origin<'a>,
}

impl Placed for Caused<'_> {
    fn place(&self, index: usize) -> Place {
        let Origin { places, clocks, bound, rank, end } = self.origin;
        match self.causes[index] {
            Cause::Row(row) => places.place(&clocks, row as usize),
            Cause::Ticked { row, time, key } => {
                places.place(&clocks, row as usize).ticked(rank, time, key.value(), key.hash())
            }
            Cause::Fired { time, key } => {
                let place = Place::fired(bound, rank, time, key.value(), key.hash());
                if time > end { place.at_end() } else { place }
            }
        }
    }
}

/// The ways out of one output.
pub(crate) struct OutputWays<T> {
    ways: FanOut<T>,
    needs: Needs,
    places: Vec<Place>,
    stands: StandsOf,
}

impl<T> OutputWays<T> {
    pub(crate) fn new(ways: FanOut<T>) -> Self {
        Self { needs: ways.needs(), ways, places: Vec::new(), stands: StandsOf::default() }
    }

    /// Gives on what was emitted; says how many rows, and where the last one stands if that was asked for.
    fn give_on(&mut self, column: &mut OutColumns<T, Cause>, origin: Origin<'_>) -> Given {
        let count = column.len();
        if count == 0 {
            return Given::default();
        }
        let caused = Caused { causes: &column.causes, origin };
        let last = caused.place(count - 1);
        let places = if self.needs.places || self.needs.clocks {
            self.places.clear();
            self.places.extend((0..count).map(|index| caused.place(index)));
            Places::Full(&self.places)
        } else {
            Places::Unasked { of: &caused, first: 0 }
        };
        self.ways.rows(Rows::new(&column.times, &column.values, places, Clocks::InPlaces));
        column.clear();
        Given { rows: count, last: Some(last) }
    }

    /// Gives on what was made of the rows of `from`.
    fn give_made<R>(&mut self, column: &mut OutColumns<T, u32>, from: &Rows<'_, R>) {
        if column.len() > 0 {
            self.ways.rows(self.stands.rows(from, (&column.times, &column.values, &column.causes)));
            column.clear();
        }
    }
}

/// What left an output.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given {
    pub(crate) rows: usize,
    pub(crate) last: Option<Place>,
}

/// The ways out of all outputs of an operator.
pub(crate) trait Ways<O: Outputs> {
    fn is_ready(&mut self) -> bool;
    fn frontier(&mut self, place: Place, pauses: bool) -> bool;
    fn barrier(&mut self, barrier: Barrier) -> bool;
    fn work(&mut self) -> bool;
    fn end(&mut self);
    fn needs(&self) -> Needs;
    /// Whether somebody takes the rows of each output.
    fn taken(&self) -> [bool; OUTPUTS_MAX];
    /// Gives on what was emitted, output by output.
    fn give_on(&mut self, columns: &mut O::Columns<Cause>, origin: Origin<'_>, given: impl FnMut(usize, Given));
    /// Gives on what was made of the rows of `from` without a state, output by output.
    fn give_made<R>(&mut self, columns: &mut O::Columns<u32>, from: &Rows<'_, R>);
}

/// Outputs that a step of a job can have, which are all.
pub(crate) trait StepOutputs: Outputs + Sized {
    type Ways: Ways<Self> + 'static;

    /// The ways out, of which there is a list for each output, each a `WayOut` of the output's rows.
    fn ways(outputs: Vec<Vec<Box<dyn Any>>>) -> Self::Ways;
}

/// A fan-out to ways of which only the caller knows the rows' type.
pub(crate) fn fan_out<T: 'static>(ways: Vec<Box<dyn Any>>) -> FanOut<T> {
    let typed = |way: Box<dyn Any>| match way.downcast::<WayOut<T>>() {
        Ok(way) => *way,
        Err(_) => unreachable!("both ends of an edge were declared with the same rows"),
    };
    FanOut(ways.into_iter().map(typed).collect())
}

macro_rules! ways {
    ($(($($row:ident $port:tt),+);)+) => {$(
        impl<$($row: Record),+> StepOutputs for ($($row,)+) {
            type Ways = ($(OutputWays<$row>,)+);

            fn ways(outputs: Vec<Vec<Box<dyn Any>>>) -> Self::Ways {
                let mut outputs = outputs.into_iter();
                ($(OutputWays::<$row>::new(fan_out(outputs.next().unwrap_or_default())),)+)
            }
        }

        impl<$($row: Record),+> Ways<($($row,)+)> for ($(OutputWays<$row>,)+) {
            fn is_ready(&mut self) -> bool {
                // Each is asked, so that each moves on.
                true $(& self.$port.ways.is_ready())+
            }

            fn frontier(&mut self, place: Place, pauses: bool) -> bool {
                true $(& self.$port.ways.frontier(place, pauses))+
            }

            fn barrier(&mut self, barrier: Barrier) -> bool {
                true $(& self.$port.ways.barrier(barrier))+
            }

            fn work(&mut self) -> bool {
                false $(| self.$port.ways.work())+
            }

            fn end(&mut self) {
                $(self.$port.ways.end();)+
            }

            fn needs(&self) -> Needs {
                Needs::NOTHING $(.and(self.$port.needs))+
            }

            fn taken(&self) -> [bool; OUTPUTS_MAX] {
                let mut taken = [false; OUTPUTS_MAX];
                $(taken[$port] = !self.$port.ways.0.is_empty();)+
                taken
            }

            #[inline]
            fn give_on(
                &mut self,
                columns: &mut <($($row,)+) as Outputs>::Columns<Cause>,
                origin: Origin<'_>,
                mut given: impl FnMut(usize, Given),
            ) {
                $(given($port, self.$port.give_on(&mut columns.$port, origin));)+
            }

            #[inline]
            fn give_made<R>(
                &mut self,
                columns: &mut <($($row,)+) as Outputs>::Columns<u32>,
                from: &Rows<'_, R>,
            ) {
                $(self.$port.give_made(&mut columns.$port, from);)+
            }
        }
    )+};
}

ways! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
}

/// The watermark of a step as far as a frontier tells it.
pub(crate) fn watermark_of(frontier: &Place, bound: i64) -> Timestamp {
    crate::progress::place::watermark_at(frontier.clock(), bound)
}
