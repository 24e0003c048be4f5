//! The event that is moved, made of its number, and the checksum by which runs are held equal.
//!
//! Making and folding cost a few instructions, so that the queue is what is measured.

/// A time, an order and a value of `WORDS` words: 32 bytes with 2 words, 64 with 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Event<const WORDS: usize> {
    pub time_ns: i64,
    pub order: u64,
    pub value: [u64; WORDS],
}

/// The bytes of an event with a value of `words` words.
pub const fn event_bytes(words: usize) -> u64 {
    16 + 8 * words as u64
}

const _: () = assert!(size_of::<Event<2>>() as u64 == event_bytes(2));
const _: () = assert!(size_of::<Event<6>>() as u64 == event_bytes(6));

impl<const WORDS: usize> Default for Event<WORDS> {
    fn default() -> Self {
        Self { time_ns: 0, order: 0, value: [0; WORDS] }
    }
}

impl<const WORDS: usize> Event<WORDS> {
    /// Event `number`, whose time is the number.
    #[inline(always)]
    pub fn of(number: u64) -> Self {
        Self::at(number as i64, number)
    }

    /// Event `number`, of a given time.
    #[inline(always)]
    pub fn at(time_ns: i64, number: u64) -> Self {
        Self { time_ns, order: number ^ 1, value: std::array::from_fn(|word| number + word as u64) }
    }
}

/// What came out: every field of every event is folded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum {
    /// Events so far.
    pub events: u64,
    /// 0 as long as event n comes n-th.
    misplaced: u64,
    orders: u64,
    values: u64,
}

impl Checksum {
    #[inline(always)]
    pub fn fold<const WORDS: usize>(&mut self, number: u64, order: u64, value: &[u64; WORDS]) {
        self.misplaced |= number ^ self.events;
        self.orders = self.orders.wrapping_add(order);
        for word in value {
            self.values = self.values.wrapping_add(*word);
        }
        self.events += 1;
    }

    /// All in one number.
    pub fn hash(&self) -> u64 {
        let parts = [self.events, self.misplaced, self.orders, self.values];
        parts.iter().fold(0, |hash: u64, part| (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
    }

    /// The checksum of the events `0 .. events`, computed without a queue.
    pub fn expected<const WORDS: usize>(events: u64) -> Self {
        let mut checksum = Self::default();
        for number in 0..events {
            let event = Event::<WORDS>::of(number);
            checksum.fold(event.time_ns as u64, event.order, &event.value);
        }
        checksum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(events: &[Event<2>]) -> u64 {
        let mut checksum = Checksum::default();
        events.iter().for_each(|event| checksum.fold(event.time_ns as u64, event.order, &event.value));
        checksum.hash()
    }

    #[test]
    fn the_checksum_knows_each_field_loss_and_order() {
        let events: Vec<_> = (0..10).map(Event::<2>::of).collect();
        let whole = hash(&events);
        assert_eq!(whole, Checksum::expected::<2>(10).hash());
        let changed = |change: &dyn Fn(&mut Vec<Event<2>>)| {
            let mut events = events.clone();
            change(&mut events);
            hash(&events)
        };
        assert_ne!(whole, changed(&|events| events.swap(3, 4)));
        assert_ne!(whole, changed(&|events| events[3].time_ns ^= 16));
        assert_ne!(whole, changed(&|events| events[3].order += 1));
        assert_ne!(whole, changed(&|events| events[3].value[0] += 1));
        assert_ne!(whole, changed(&|events| events[3].value[1] += 1));
        assert_ne!(whole, changed(&|events| events.truncate(9)));
        assert_ne!(whole, changed(&|events| events[9] = events[8]));
    }
}
