//! Runs a chain of stateless steps over a run of rows.

use crate::Timestamp;
use crate::base::blame;
use crate::operator::chain::Chain;
use crate::progress::mark::BlockMark;
use crate::progress::place::{Order, Place, Places, Seq};
use crate::runtime::outlet::{Outlet, Rows};
use std::any::TypeId;

/// The rows that a chain made, with the places of the rows they were made of.
pub(crate) struct ChainBuffer<T> {
    times: Vec<Timestamp>,
    values: Vec<T>,
    seqs: Vec<Seq>,
    places: Vec<Place>,
}

impl<T> ChainBuffer<T> {
    pub(crate) const fn new() -> Self {
        Self { times: Vec::new(), values: Vec::new(), seqs: Vec::new(), places: Vec::new() }
    }
}

/// Tells in words where row `index` stands.
pub(crate) fn position_of(places: &Places<'_>, index: usize) -> String {
    let place = places.place(index);
    match place.position() {
        Some(position) => format!("event {position} of block {}", place.block()),
        None => format!("a row fired at the end of block {}", place.block()),
    }
}

/// Applies `chain` to `rows`. The rows of an empty chain are given on where they are.
#[inline]
pub(crate) fn apply<'a, C: Chain>(
    chain: &C,
    rows: Rows<'a, C::In>,
    buffer: &'a mut ChainBuffer<C::Out>,
) -> Rows<'a, C::Out>
where
    C::Out: bytemuck::Pod,
{
    if chain.is_identity() && TypeId::of::<C::In>() == TypeId::of::<C::Out>() {
        // The types are the same, so the cast changes nothing.
        let values = bytemuck::cast_slice(rows.values);
        return Rows { times: rows.times, values, places: rows.places, behind: rows.behind };
    }
    buffer.times.clear();
    buffer.values.clear();
    buffer.seqs.clear();
    buffer.places.clear();
    let block = rows.places.block();
    blame::at_position(
        |index| position_of(&rows.places, index),
        || {
            for (index, (time, value)) in rows.times.iter().zip(rows.values).enumerate() {
                blame::at_index(index, || {
                    chain.each(value, &mut |row| {
                        buffer.times.push(*time);
                        buffer.values.push(row);
                        match rows.places {
                            Places::Full(places) => buffer.places.push(places[index]),
                            _ => buffer.seqs.push(Seq::base(&rows.places, index)),
                        }
                    });
                });
            }
        },
    );
    let places = match rows.places {
        Places::Full(_) => Places::Full(&buffer.places),
        _ => Places::Seqs { block, seqs: &buffer.seqs },
    };
    Rows { times: &buffer.times, values: &buffer.values, places, behind: rows.behind }
}

/// An outlet behind a chain that is not fused with what follows: an input of a union.
pub(crate) struct ChainOutlet<C: Chain> {
    chain: C,
    buffer: ChainBuffer<C::Out>,
    next: Box<dyn Outlet<C::Out>>,
}

impl<C: Chain> ChainOutlet<C> {
    pub(crate) fn new(chain: C, next: Box<dyn Outlet<C::Out>>) -> Self {
        Self { chain, buffer: ChainBuffer::new(), next }
    }
}

impl<C: Chain> Outlet<C::In> for ChainOutlet<C>
where
    C::Out: bytemuck::Pod,
{
    fn is_ready(&mut self) -> bool {
        self.next.is_ready()
    }

    fn rows(&mut self, rows: Rows<'_, C::In>) {
        let rows = apply(&self.chain, rows, &mut self.buffer);
        if !rows.values.is_empty() {
            self.next.rows(rows);
        }
    }

    fn mark(&mut self, mark: BlockMark) {
        self.next.mark(mark);
    }

    fn frontier(&mut self, place: Place) {
        self.next.frontier(place);
    }

    fn end(&mut self) {
        self.next.end();
    }
}
