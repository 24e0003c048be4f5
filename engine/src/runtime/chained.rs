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
    /// Of rows straight from a source; otherwise `places` has them.
    seqs: Vec<Seq>,
    places: Vec<Place>,
    /// The rows that the filters keep with which a chain begins.
    selected: Vec<u32>,
}

impl<T> ChainBuffer<T> {
    pub(crate) const fn new() -> Self {
        Self { times: Vec::new(), values: Vec::new(), seqs: Vec::new(), places: Vec::new(), selected: Vec::new() }
    }
}

impl<T: bytemuck::Pod> ChainBuffer<T> {
    /// Runs a chain that makes at most one row of each; says how many it made.
    fn fill_at_most_one<C: Chain<Out = T>>(&mut self, chain: &C, rows: &Rows<'_, C::In>) -> usize {
        let count = rows.values.len();
        if self.values.len() < count {
            self.times.resize(count, Timestamp::MIN);
            self.values.resize(count, T::zeroed());
        }
        // Slices of one length, so that one comparison serves for all.
        let (times, values) = (&mut self.times[..count], &mut self.values[..count]);
        let rows_in = rows.times[..count].iter().zip(rows.values);
        let mut made = 0;
        if let Places::Full(places) = rows.places {
            self.places.clear();
            for (index, (time, value)) in rows_in.enumerate() {
                blame::at_index(index, || {
                    chain.each(value, &mut |row| {
                        (times[made], values[made]) = (*time, row);
                        self.places.push(places[index]);
                        made += 1;
                    });
                });
            }
            return made;
        }
        if self.seqs.len() < count {
            self.seqs.resize(count, Seq::event(0));
        }
        let seqs = &mut self.seqs[..count];
        if C::BEGINS_WITH_FILTER {
            // Which rows are kept is written down without a branch: there is nothing to guess wrong.
            if self.selected.len() < count {
                self.selected.resize(count, 0);
            }
            let selected = &mut self.selected[..count];
            let mut kept = 0;
            for (index, value) in rows.values.iter().enumerate() {
                selected[kept] = index as u32;
                kept += usize::from(blame::at_index(index, || chain.is_selected(value)));
            }
            let times_in = &rows.times[..count];
            for &index in &selected[..kept] {
                let index = index as usize;
                blame::at_index(index, || {
                    chain.each_selected(&rows.values[index], &mut |row| {
                        if made < count {
                            (times[made], values[made]) = (times_in[index], row);
                            seqs[made] = Seq::base(&rows.places, index);
                            made += 1;
                        }
                    });
                });
            }
            return made;
        }
        for (index, (time, value)) in rows_in.enumerate() {
            rows.ahead.fetch(value);
            blame::at_index(index, || {
                chain.each(value, &mut |row| {
                    if made < count {
                        (times[made], values[made]) = (*time, row);
                        seqs[made] = Seq::base(&rows.places, index);
                        made += 1;
                    }
                });
            });
        }
        made
    }

    /// Runs any chain; says how many rows it made.
    fn fill_any<C: Chain<Out = T>>(&mut self, chain: &C, rows: &Rows<'_, C::In>) -> usize {
        self.times.clear();
        self.values.clear();
        self.seqs.clear();
        self.places.clear();
        for (index, (time, value)) in rows.times.iter().zip(rows.values).enumerate() {
            rows.ahead.fetch(value);
            blame::at_index(index, || {
                chain.each(value, &mut |row| {
                    self.times.push(*time);
                    self.values.push(row);
                    match rows.places {
                        Places::Full(places) => self.places.push(places[index]),
                        _ => self.seqs.push(Seq::base(&rows.places, index)),
                    }
                });
            });
        }
        self.values.len()
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
        let Rows { times, places, bounds, behind, ahead, .. } = rows;
        return Rows { times, values, places, bounds, behind, ahead };
    }
    let block = rows.places.block();
    let made = blame::at_position(
        |index| position_of(&rows.places, index),
        || if chain.fans_out() { buffer.fill_any(chain, &rows) } else { buffer.fill_at_most_one(chain, &rows) },
    );
    let places = match rows.places {
        Places::Full(_) => Places::Full(&buffer.places[..made]),
        _ => Places::Seqs { block, seqs: &buffer.seqs[..made] },
    };
    let made = Rows::new(&buffer.times[..made], &buffer.values[..made], places);
    Rows { bounds: rows.bounds, behind: rows.behind, ..made }
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

    fn frontier(&mut self, place: Place) -> bool {
        self.next.frontier(place)
    }

    fn end(&mut self) {
        self.next.end();
    }
}
