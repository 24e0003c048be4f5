//! Which entries changed since they were last written.

/// Numbers of entries. Nothing is noted until all was written once: before that everything changed.
#[derive(Debug)]
pub(crate) struct Changes {
    is_noting: bool,
    bits: Vec<u64>,
    numbers: Vec<u32>,
}

impl Changes {
    pub(crate) const EMPTY: Self = Self { is_noting: false, bits: Vec::new(), numbers: Vec::new() };

    #[inline(always)]
    pub(crate) const fn is_noting(&self) -> bool {
        self.is_noting
    }

    #[inline(always)]
    pub(crate) fn note(&mut self, number: usize) {
        if self.is_noting {
            self.note_new(number);
        }
    }

    #[cold]
    fn note_new(&mut self, number: usize) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if self.bits[word] & bit == 0 {
            self.bits[word] |= bit;
            self.numbers.push(number as u32);
        }
    }

    /// All of these entries have new numbers.
    pub(crate) fn note_moved(&mut self, numbers: impl Iterator<Item = usize>) {
        if self.is_noting {
            self.bits.clear();
            self.numbers.clear();
            numbers.for_each(|number| self.note_new(number));
        }
    }

    /// The numbers that changed, where something was written before; from now on changes are noted.
    pub(crate) fn take(&mut self) -> Option<Vec<u32>> {
        let numbers = std::mem::take(&mut self.numbers);
        for number in &numbers {
            self.bits[*number as usize / 64] = 0;
        }
        std::mem::replace(&mut self.is_noting, true).then_some(numbers)
    }
}
