//! The order in which a window's keys fire: canonical key, then bytes.
//!
//! The order of keys that lie dense is kept from window to window, so that a window whose keys were
//! seen before is not sorted again. Keys whose numbers order as their texts do are not sorted at all.

use crate::operator::aggregate::Aggregate;
use crate::operator::window::Window;
use crate::operator::{Firing, OperatorOutput, Outbox};
use crate::store::dense::Bits;
use crate::store::groups::Groups;
use crate::{CanonicalKey, Dictionary, Key};

/// A place in the order of firing: canonical key, number of the entry.
pub(crate) type Order = (CanonicalKey, u32);

/// Entries whose order is computed at once, where it is not all at once.
const AT_ONCE: usize = 1024;
/// Keys with numbers below this have their order kept.
const KNOWN_END: usize = 1 << 16;
/// What is kept is used while at least one in so many of the kept keys fires.
const KNOWN_SHARE: usize = 8;

/// The entries of the window that fires, and what is known of its keys for the next one.
#[derive(Default)]
pub(crate) struct FiringOrder {
    /// From `fired` on still to fire.
    orders: Vec<Order>,
    fired: usize,
    /// The number that `orders` goes on from, where numbers order as texts do and not all are in it.
    next: Option<u32>,
    is_started: bool,
    /// Dense keys of earlier windows, in order; in `orders` while all of them fire and nothing else does.
    known: Vec<Order>,
    known_fire: bool,
    /// A bit for the number of each known key.
    known_bits: Vec<u64>,
    /// Texts of symbols when the order was found: it is as good as long as there are no more.
    texts: usize,
}

fn order_of<K: Key, A: Aggregate<K>>(number: u32, key: &K, aggregate: &A, symbols: &Dictionary) -> Order {
    (aggregate.canonical(key, symbols), number)
}

/// Sorts by canonical key; keys that share one by their bytes.
fn sort<K: Key>(orders: &mut [Order], key: impl Fn(u32) -> K) {
    orders.sort();
    for run in orders.chunk_by_mut(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
        run.sort_by(|a, b| bytemuck::bytes_of(&key(a.1)).cmp(bytemuck::bytes_of(&key(b.1))));
    }
}

/// Fires the rest of a slice to the first output, as far as `out` has room.
pub(crate) fn fire_slice<K: Key, A: Aggregate<K>, O: OperatorOutput<0, Row = A::Out>>(
    window: Window,
    groups: &Groups<K, A::Acc>,
    order: &mut FiringOrder,
    aggregate: &A,
    out: &mut Outbox<O>,
) -> Firing {
    let symbols = out.symbols().clone();
    order.start(groups, aggregate, &symbols);
    while let Some((canonical, number)) = order.next(groups, aggregate, &symbols) {
        if out.is_full() {
            return Firing::More;
        }
        let (key, value) = groups.entry(number);
        let row = aggregate.result(window, &key, value);
        out.emit_fired::<0>(window.max_timestamp(), canonical, row);
        order.fired();
    }
    order.end();
    Firing::Done
}

impl FiringOrder {
    /// Finds the order of a window's keys, unless it is one that fires already.
    pub(crate) fn start<K: Key, A: Aggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        self.orders.clear();
        self.fired = 0;
        self.next = None;
        if K::ORDERED_BY_NUMBER && groups.is_dense() {
            self.next = Some(0);
            return;
        }
        let dense = groups.dense();
        let words = dense.present();
        let known_words = &words[..words.len().min(KNOWN_END / 64)];
        let firing: usize = known_words.iter().map(|word| word.count_ones() as usize).sum();
        let mut rest = 0;
        if firing * KNOWN_SHARE >= self.known.len() {
            self.learn(groups, aggregate, symbols);
            if groups.len() == firing && self.known.len() == firing {
                self.known_fire = true;
                std::mem::swap(&mut self.orders, &mut self.known);
                return;
            }
            let is_firing = |order: &&Order| {
                let number = order.1 as usize;
                known_words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
            };
            self.orders.extend(self.known.iter().filter(is_firing));
            rest = KNOWN_END as u32;
        }
        let others = groups.entries(rest).map(|(number, key, _)| order_of(number, &key, aggregate, symbols));
        let kept = self.orders.len();
        self.orders.extend(others);
        if self.orders.len() > kept {
            // A sort that takes the kept ones as one run.
            sort(&mut self.orders, |number| groups.entry(number).0);
        }
    }

    /// Adds the window's dense keys to what is known.
    fn learn<K: Key, A: Aggregate<K>>(&mut self, groups: &Groups<K, A::Acc>, aggregate: &A, symbols: &Dictionary) {
        let texts = symbols.len();
        if texts != self.texts {
            self.texts = texts;
            self.known.clear();
            self.known_bits.clear();
        }
        let dense = groups.dense();
        let words = dense.present().len().min(KNOWN_END / 64);
        if self.known_bits.len() < words {
            self.known_bits.resize(words, 0);
        }
        let before = self.known.len();
        for (at, (word, known)) in dense.present().iter().zip(&mut self.known_bits).enumerate() {
            for bit in Bits(word & !*known) {
                let number = at * 64 + bit;
                self.known.push(order_of(number as u32, &dense.entry(number).0, aggregate, symbols));
            }
            *known |= word;
        }
        if self.known.len() > before {
            sort(&mut self.known, |number| K::from_number(u64::from(number)));
        }
    }

    /// The next entry to fire.
    #[inline]
    pub(crate) fn next<K: Key, A: Aggregate<K>>(
        &mut self,
        groups: &Groups<K, A::Acc>,
        aggregate: &A,
        symbols: &Dictionary,
    ) -> Option<Order> {
        if self.fired == self.orders.len() {
            self.go_on(groups, aggregate, symbols);
        }
        self.orders.get(self.fired).copied()
    }

    fn go_on<K: Key, A: Aggregate<K>>(&mut self, groups: &Groups<K, A::Acc>, aggregate: &A, symbols: &Dictionary) {
        let Some(start) = self.next else { return };
        self.orders.clear();
        self.fired = 0;
        let entries = groups.entries(start).take(AT_ONCE);
        self.orders.extend(entries.map(|(number, key, _)| order_of(number, &key, aggregate, symbols)));
        self.next = self.orders.last().map(|last| last.1 + 1);
    }

    /// The next entry has fired.
    #[inline]
    pub(crate) fn fired(&mut self) {
        self.fired += 1;
    }

    /// The window has fired.
    pub(crate) fn end(&mut self) {
        self.is_started = false;
        if std::mem::take(&mut self.known_fire) {
            std::mem::swap(&mut self.orders, &mut self.known);
        }
        self.orders.clear();
        self.fired = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Symbol, count};
    use proptest::prelude::*;

    /// The keys that fire, in order, a call of `next` and `fired` for each.
    fn fire<K: Key>(order: &mut FiringOrder, groups: &Groups<K, u64>, symbols: &Dictionary) -> Vec<K> {
        let mut keys = Vec::new();
        loop {
            // Asking again to start changes nothing while a window fires.
            let aggregate = count::<u64>();
            order.start(groups, &aggregate, symbols);
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
