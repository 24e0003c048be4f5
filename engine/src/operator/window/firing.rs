//! The order in which a window's keys fire: canonical key, then bytes.
//!
//! The order of keys that have numbers is kept from window to window, so that a window whose keys were seen before is
//! ordered by their places in it, which are numbers. Keys that are not in it yet are sorted by canonical key each time,
//! until that has been done for a quarter as many as are in it; then they are added. Keys whose numbers order as their texts do need none of that.

use crate::operator::aggregate::WindowAggregate;
use crate::operator::window::{Pane, Window};
use crate::operator::{Firing, OperatorOutput, Outbox};
use crate::store::dense::{Bits, number_of};
use crate::store::groups::Groups;
use crate::{CanonicalKey, Dictionary, Key};

/// A place in the order of firing: canonical key, number of the entry.
pub(crate) type Order = (CanonicalKey, u32);

/// Entries whose canonical keys are looked up at once.
const AT_ONCE: usize = 64;
/// All known keys are looked at, in their order, where at least one in so many of them fires.
const KNOWN_SHARE: usize = 8;
/// Keys with numbers below this may become known.
const RANKED_MIN: usize = 1 << 16;
/// So may those below this many times as many as are known.
const RANKED_SHARE: usize = 32;

/// The entries of the window that fires, and what is known of its keys for the next one.
#[derive(Default)]
pub(crate) struct FiringOrder {
    /// Entries whose keys have a rank, in order: the rank in the upper half, the number of the entry in the lower.
    ranked: Vec<u64>,
    /// The others, in order.
    sorted: Vec<Order>,
    /// The next ones of those that have a rank, with their canonical keys, and the first of `ranked` behind them.
    ahead: Vec<Order>,
    looked_up: usize,
    /// From these on they are still to fire.
    fired_ahead: usize,
    fired_sorted: usize,
    /// Whether the next one to fire is of `sorted`.
    is_sorted_next: bool,
    /// Whether the canonical keys of those that have a rank are looked up.
    needs_keys: bool,
    is_started: bool,
    known: KnownKeys,
}

/// Keys of earlier windows in the order in which they fire.
#[derive(Default)]
struct KnownKeys {
    /// With the numbers of keys; a key's rank is its place.
    orders: Vec<Order>,
    /// By number of the key: its rank, or one of those below.
    ranks: Vec<u32>,
    /// A bit for the number of each key that has a rank.
    bits: Vec<u64>,
    /// Keys that have fired and have no rank yet.
    waiting: Vec<Order>,
    /// How often keys without a rank were sorted since ranks were last given.
    sorted: usize,
    /// Texts of symbols when the order was found: it is as good as long as there are no more.
    texts: usize,
}

/// In place of a rank: the key has not fired.
const UNKNOWN: u32 = u32::MAX;
/// In place of a rank: it waits for one.
const WAITING: u32 = u32::MAX - 1;
/// Keys that wait get ranks once one in so many of those that have one was sorted for want of it.
const LEARNED_SHARE: usize = 4;

fn order_of<K: Key, A: WindowAggregate<K>>(number: u32, key: &K, aggregate: &A, symbols: &Dictionary) -> Order {
    (aggregate.canonical(key, symbols), number)
}

const fn packed(rank: u32, entry: u32) -> u64 {
    (rank as u64) << 32 | entry as u64
}

/// Sorts by canonical key; keys that share one by their bytes.
fn sort<K: Key>(orders: &mut [Order], key: impl Fn(u32) -> K) {
    orders.sort();
    for run in orders.chunk_by_mut(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
        run.sort_by(|a, b| bytemuck::bytes_of(&key(a.1)).cmp(bytemuck::bytes_of(&key(b.1))));
    }
}

/// Fires the rest of a slice to the first output, as far as `out` has room.
pub(crate) fn fire_slice<K: Key, A: WindowAggregate<K>, O: OperatorOutput<0, Row = A::Out>>(
    window: Window,
    groups: &Groups<K, A::Acc>,
    order: &mut FiringOrder,
    aggregate: &A,
    out: &mut Outbox<O>,
) -> Firing {
    let symbols = out.symbols().clone();
    order.start(groups, aggregate, &symbols);
    // Keys are compared with those that have no rank; otherwise they say where rows stand.
    order.needs_keys = out.has_places() || !order.sorted.is_empty();
    let pane = Pane::only(window);
    while let Some((canonical, number)) = order.next(groups, aggregate, &symbols) {
        if out.is_full() {
            return Firing::More;
        }
        let (key, value) = groups.entry(number);
        let row = aggregate.result(&pane, &key, value);
        out.emit_fired::<0>(window.max_timestamp(), canonical, row);
        order.fired();
    }
    order.end();
    Firing::Done
}

impl KnownKeys {
    /// Forgets all where there are more texts than when the order was found.
    fn forget_if_outdated(&mut self, symbols: &Dictionary) {
        let texts = symbols.len();
        if texts != self.texts {
            *self = Self { texts, ..Self::default() };
        }
    }

    /// Gives ranks to the keys that wait, where it is worth it; whether it was. All ranks may have changed then.
    fn learn<K: Key>(&mut self) -> bool {
        if self.waiting.is_empty() || self.sorted * LEARNED_SHARE < self.orders.len() {
            return false;
        }
        self.sorted = 0;
        // A sort that takes those that have a rank as one run.
        self.orders.append(&mut self.waiting);
        sort(&mut self.orders, |number| K::from_number(u64::from(number)));
        self.bits.resize(self.ranks.len().div_ceil(64), 0);
        for (rank, (_, number)) in self.orders.iter().enumerate() {
            self.ranks[*number as usize] = rank as u32;
            self.bits[*number as usize / 64] |= 1 << (number % 64);
        }
        true
    }

    /// The rank of the key with this number, or what stands in its place.
    #[inline]
    fn rank(&self, number: u32) -> u32 {
        self.ranks.get(number as usize).copied().unwrap_or(UNKNOWN)
    }

    /// Has the key with this number get a rank some time, where there are not many numbers without keys.
    fn wait(&mut self, number: usize, canonical: CanonicalKey) {
        self.sorted += 1;
        if number >= self.ranks.len() {
            let end = (self.orders.len() + self.waiting.len()).saturating_mul(RANKED_SHARE).max(RANKED_MIN);
            if number >= end {
                return;
            }
            self.ranks.resize((number + 1).next_power_of_two(), UNKNOWN);
        }
        if self.ranks[number] == UNKNOWN {
            self.ranks[number] = WAITING;
            self.waiting.push((canonical, number as u32));
        }
    }
}

impl FiringOrder {
    /// Finds the order of a window's keys, unless it is one that fires already.
    pub(crate) fn start<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        if K::ORDERED_BY_NUMBER {
            self.take_ordered(groups, aggregate, symbols);
        } else {
            self.known.forget_if_outdated(symbols);
            self.take_dense(groups, aggregate, symbols);
            self.take_hashed(groups, aggregate, symbols);
            if self.known.learn::<K>() {
                self.ranked.clear();
                self.sorted.clear();
                self.take_dense(groups, aggregate, symbols);
                self.take_hashed(groups, aggregate, symbols);
            }
        }
        sort(&mut self.sorted, |entry| groups.entry(entry).0);
    }

    /// Takes keys whose numbers are their ranks. Those that lie dense come in order.
    fn take_ordered<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        let Self { ranked, sorted, .. } = self;
        ranked.extend(groups.dense().entries().map(|(number, ..)| packed(number as u32, number as u32)));
        if groups.is_dense() {
            return;
        }
        for (entry, key, _) in groups.hashed() {
            match number_of(&key) {
                Some(number) => ranked.push(packed(number as u32, entry)),
                None => sorted.push(order_of(entry, &key, aggregate, symbols)),
            }
        }
        ranked.sort_unstable();
    }

    /// Takes the keys that lie dense: where many of those that are known fire, in the order of all of them.
    fn take_dense<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        let Self { ranked, sorted, known, .. } = self;
        let dense = groups.dense();
        if dense.len() * KNOWN_SHARE < known.orders.len() {
            ranked.extend(dense.entries().map(|(number, ..)| packed(known.rank(number as u32), number as u32)));
            return self.end_ranking(0, groups, aggregate, symbols);
        }
        let words = dense.present();
        ranked.reserve(dense.len());
        let fires = |number: usize| words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1);
        let ranks = known.orders.iter().enumerate().filter(|(_, order)| fires(order.1 as usize));
        ranked.extend(ranks.map(|(rank, order)| packed(rank as u32, order.1)));
        if ranked.len() == dense.len() {
            return;
        }
        for (at, word) in words.iter().enumerate() {
            for bit in Bits(word & !known.bits.get(at).copied().unwrap_or(0)) {
                let number = at * 64 + bit;
                let order = order_of(number as u32, &dense.entry(number).0, aggregate, symbols);
                known.wait(number, order.0);
                sorted.push(order);
            }
        }
    }

    /// Takes the keys that are hashed.
    fn take_hashed<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        let Self { ranked, sorted, known, .. } = self;
        let before = ranked.len();
        for (entry, key, _) in groups.hashed() {
            match number_of(&key) {
                Some(number) => ranked.push(packed(number as u32, entry)),
                None => sorted.push(order_of(entry, &key, aggregate, symbols)),
            }
        }
        // A loop that does nothing else has more ranks on their way from memory at once.
        for number in &mut ranked[before..] {
            *number = packed(known.rank((*number >> 32) as u32), *number as u32);
        }
        self.end_ranking(before, groups, aggregate, symbols);
    }

    /// Orders what has a rank, where some from `first` on are new; those without one are told from the others.
    fn end_ranking<K: Key, A: WindowAggregate<K>>(
        &mut self,
        first: usize,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        let Self { ranked, sorted, known, .. } = self;
        if ranked.len() == first {
            return;
        }
        ranked.sort_unstable();
        let end = ranked.partition_point(|packed| *packed < u64::from(WAITING) << 32);
        for packed in ranked.drain(end..) {
            let key = groups.entry(packed as u32).0;
            let order = order_of(packed as u32, &key, aggregate, symbols);
            if let Some(number) = number_of(&key) {
                known.wait(number, order.0);
            }
            sorted.push(order);
        }
    }

    /// The next entry to fire.
    #[inline]
    pub(crate) fn next<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) -> Option<Order> {
        if self.fired_ahead == self.ahead.len() {
            self.look_up(groups, aggregate, symbols);
        }
        let ranked = self.ahead.get(self.fired_ahead);
        let Some(sorted) = self.sorted.get(self.fired_sorted) else {
            self.is_sorted_next = false;
            return ranked.copied();
        };
        self.is_sorted_next = ranked.is_none_or(|ranked| {
            let key = |order: &Order| groups.entry(order.1).0;
            let by_bytes = || bytemuck::bytes_of(&key(sorted)).cmp(bytemuck::bytes_of(&key(ranked)));
            sorted.0.cmp(&ranked.0).then_with(by_bytes).is_lt()
        });
        if self.is_sorted_next { Some(*sorted) } else { ranked.copied() }
    }

    /// Looks up canonical keys, side by side.
    fn look_up<K: Key, A: WindowAggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        let Self { ranked, ahead, known, .. } = self;
        let end = ranked.len().min(self.looked_up + AT_ONCE);
        let packed = &ranked[self.looked_up..end];
        ahead.clear();
        if !self.needs_keys {
            ahead.extend(packed.iter().map(|packed| (CanonicalKey::default(), *packed as u32)));
        } else if K::ORDERED_BY_NUMBER {
            let key = |entry: u32| groups.entry(entry).0;
            ahead
                .extend(packed.iter().map(|packed| order_of(*packed as u32, &key(*packed as u32), aggregate, symbols)));
        } else {
            ahead.extend(packed.iter().map(|packed| (known.orders[(packed >> 32) as usize].0, *packed as u32)));
        }
        self.fired_ahead = 0;
        self.looked_up = end;
    }

    /// The next entry has fired.
    #[inline]
    pub(crate) fn fired(&mut self) {
        if self.is_sorted_next {
            self.fired_sorted += 1;
        } else {
            self.fired_ahead += 1;
        }
    }

    /// The window has fired.
    pub(crate) fn end(&mut self) {
        let Self { ranked, sorted, ahead, .. } = self;
        ranked.clear();
        sorted.clear();
        ahead.clear();
        (self.looked_up, self.fired_ahead, self.fired_sorted) = (0, 0, 0);
        self.is_started = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::aggregate::{Rows, Windowed};
    use crate::{Symbol, count};
    use proptest::prelude::*;

    /// The keys that fire, in order, a call of `next` and `fired` for each.
    fn fire<K: Key>(order: &mut FiringOrder, groups: &Groups<K, u64>, symbols: &Dictionary) -> Vec<K> {
        let mut keys = Vec::new();
        loop {
            // Asking again to start changes nothing while a window fires.
            let aggregate = Rows::new(count::<u64>(), Windowed::new);
            order.start(groups, &aggregate, symbols);
            order.needs_keys = true;
            let Some((_, number)) = order.next(groups, &aggregate, symbols) else { break };
            keys.push(groups.entry(number).0);
            order.fired();
        }
        order.end();
        keys
    }

    fn groups<K: Key>(keys: &[K]) -> Groups<K, u64> {
        let mut groups = Groups::new(crate::HashSeed::new(0));
        keys.iter().for_each(|key| *groups.value_mut(*key) += 1);
        groups
    }

    /// Window after window fires as if each were sorted for itself.
    fn check<K: Key + std::fmt::Debug>(windows: &[Vec<K>], symbols: &Dictionary) {
        let mut order = FiringOrder::default();
        for keys in windows {
            let mut expected: Vec<_> = keys.iter().map(|key| (CanonicalKey::of(key, symbols), *key)).collect();
            expected.sort_by_key(|(canonical, key)| (*canonical, bytemuck::bytes_of(key).to_vec()));
            expected.dedup_by_key(|entry| entry.1);
            let expected: Vec<_> = expected.into_iter().map(|entry| entry.1).collect();
            assert_eq!(fire(&mut order, &groups(keys), symbols), expected);
        }
    }

    #[test]
    fn symbols_fire_by_text_also_when_texts_come_later() {
        let symbols = Dictionary::default();
        let id = |id: u32| Symbol::from_id(id);
        let mut order = FiringOrder::default();
        let window = groups(&[id(0), id(1), id(2)]);
        // Unknown texts come in the order of ids, behind known ones.
        assert_eq!(fire(&mut order, &window, &symbols), [id(0), id(1), id(2)]);
        for text in ["B", "C", "A"] {
            symbols.intern(text).unwrap();
        }
        assert_eq!(fire(&mut order, &window, &symbols), [id(2), id(0), id(1)]);
    }

    #[test]
    fn keys_that_share_16_bytes_of_text_follow_their_hash() {
        let key = |last: u8| {
            let mut key = [7u8; 20];
            key[19] = last;
            key
        };
        check(&[(0..200).map(key).collect(), (100..=255).map(key).collect()], &Dictionary::default());
    }

    proptest! {
        #[test]
        fn windows_fire_as_if_each_were_sorted_for_itself(
            windows in prop::collection::vec(
                prop::collection::vec(prop_oneof![0u32..300, 60_000u32..70_000, any::<u32>()], 0..400), 1..6),
            narrow in prop::collection::vec(prop::collection::vec(0u32..3000, 0..1000), 1..6),
        ) {
            let symbols = Dictionary::default();
            (0..2000u32).for_each(|i| { symbols.intern(&format!("{}", i.wrapping_mul(7919) % 5000)).unwrap(); });
            for windows in [&windows, &narrow] {
                check(windows, &symbols);
                let of = |make: fn(u32) -> Symbol| -> Vec<Vec<Symbol>> {
                    windows.iter().map(|keys| keys.iter().map(|key| make(*key)).collect()).collect()
                };
                check(&of(Symbol::from_id), &symbols);
                let signed: Vec<Vec<i16>> =
                    windows.iter().map(|keys| keys.iter().map(|key| *key as i16).collect()).collect();
                check(&signed, &symbols);
            }
        }
    }
}
