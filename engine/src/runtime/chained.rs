//! Runs a chain of stateless steps over a run of rows.

use crate::Timestamp;
use crate::base::blame;
use crate::operator::chain::Chain;
use crate::progress::order::{Clocked, Clocks, Places, Seq};
use crate::progress::place::Place;
use crate::runtime::rows::Rows;
use std::any::TypeId;

/// The rows that a chain made, and which row each was made of.
pub(crate) struct ChainBuffer<T> {
    times: Vec<Timestamp>,
    values: Vec<T>,
    /// The number of the row that each was made of.
    of: Vec<u32>,
    stands: StandsOf,
    /// The rows that the filters keep with which a chain begins.
    selected: Vec<u32>,
}

/// Where the rows stand that others were made of, with the clock before each.
#[derive(Default)]
pub(crate) struct StandsOf {
    places: PlacesOf,
    clocks: Vec<Timestamp>,
}

/// Where the rows stand that others were made of, once for each that was made.
#[derive(Default)]
struct PlacesOf {
    seqs: Vec<Seq>,
    clocked: Vec<Clocked>,
    places: Vec<Place>,
}

impl<T> ChainBuffer<T> {
    pub(crate) fn new() -> Self {
        Self {
            times: Vec::new(),
            values: Vec::new(),
            of: Vec::new(),
            stands: StandsOf::default(),
            selected: Vec::new(),
        }
    }
}

impl<T: bytemuck::Pod> ChainBuffer<T> {
    /// Runs a chain that makes at most one row of each; says how many it made.
    fn fill_at_most_one<C: Chain<Out = T>>(&mut self, chain: &C, rows: &Rows<'_, C::In>) -> usize {
        let count = rows.values.len();
        if self.values.len() < count {
            self.times.resize(count, Timestamp::MIN);
            self.values.resize(count, T::zeroed());
            self.of.resize(count, 0);
        }
        // Slices of one length, so that one comparison serves for all.
        let (times, values, of) = (&mut self.times[..count], &mut self.values[..count], &mut self.of[..count]);
        let mut made = 0;
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
                let at = index as usize;
                blame::at_index(at, || {
                    chain.each_selected(&rows.values[at], &mut |row| {
                        if made < count {
                            (times[made], values[made], of[made]) = (times_in[at], row, index);
                            made += 1;
                        }
                    });
                });
            }
            return made;
        }
        for (index, (time, value)) in rows.times[..count].iter().zip(rows.values).enumerate() {
            rows.ahead.fetch(value);
            blame::at_index(index, || {
                chain.each(value, &mut |row| {
                    if made < count {
                        (times[made], values[made], of[made]) = (*time, row, index as u32);
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
        self.of.clear();
        for (index, (time, value)) in rows.times.iter().zip(rows.values).enumerate() {
            rows.ahead.fetch(value);
            blame::at_index(index, || {
                chain.each(value, &mut |row| {
                    self.times.push(*time);
                    self.values.push(row);
                    self.of.push(index as u32);
                });
            });
        }
        self.values.len()
    }
}

impl StandsOf {
    /// Rows that were made of those of `from`, with the number of the row that each was made of.
    pub(crate) fn rows<'a, T, R>(
        &'a mut self,
        from: &Rows<'a, R>,
        (times, values, of): (&'a [Timestamp], &'a [T], &'a [u32]),
    ) -> Rows<'a, T> {
        let places = self.places.gather(from.places, of);
        let clocks = match from.clocks {
            Clocks::Each(all) => Clocks::Each(gather(&mut self.clocks, of.iter().map(|&row| all[row as usize]))),
            other => other,
        };
        Rows { bounds: from.bounds, ..Rows::new(times, values, places, clocks) }
    }
}

impl PlacesOf {
    /// The places of rows made of others, by the numbers of those.
    fn gather<'a>(&'a mut self, places: Places<'a>, of: &'a [u32]) -> Places<'a> {
        let of_rows = || of.iter().map(|&row| row as usize);
        match places {
            Places::Run { unit, first } => Places::Picked { unit, first, of },
            Places::Seqs { unit, seqs } => {
                Places::Seqs { unit, seqs: gather(&mut self.seqs, of_rows().map(|row| seqs[row])) }
            }
            Places::Clocked { unit, rows } => {
                Places::Clocked { unit, rows: gather(&mut self.clocked, of_rows().map(|row| rows[row])) }
            }
            Places::Picked { unit, first, of: picked } => {
                let seqs = of_rows().map(|row| Seq::event(first + u64::from(picked[row])));
                Places::Seqs { unit, seqs: gather(&mut self.seqs, seqs) }
            }
            Places::Full(places) => Places::Full(gather(&mut self.places, of_rows().map(|row| places[row]))),
            Places::Unasked { of: unasked, first } => {
                Places::Full(gather(&mut self.places, of_rows().map(|row| unasked.place(first + row))))
            }
        }
    }
}

fn gather<T>(into: &mut Vec<T>, values: impl Iterator<Item = T>) -> &[T] {
    into.clear();
    into.extend(values);
    into
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
        let Rows { times, places, clocks, bounds, ahead, .. } = rows;
        return Rows { times, values, places, clocks, bounds, ahead };
    }
    let made = blame::at_position(
        |index| rows.position(index),
        || if chain.fans_out() { buffer.fill_any(chain, &rows) } else { buffer.fill_at_most_one(chain, &rows) },
    );
    let ChainBuffer { times, values, of, stands, .. } = buffer;
    stands.rows(&rows, (&times[..made], &values[..made], &of[..made]))
}
