//! How many different values there are, estimated from a fixed number of bytes.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, AofA 2007): a value's hash chooses a register by its first bits, and
//! the register keeps the largest rank, which is the place of the first bit set among the rest. What the registers say is
//! estimated as by Ertl (New cardinality estimation algorithms for HyperLogLog sketches, arXiv:1702.01284, algorithm 6),
//! which needs no correction for small or large counts.

use crate::operator::aggregate::{Aggregate, bytes_layout};
use crate::{FieldKind, HashSeed, Key, Layout, Record, Timestamp};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

/// What all hashes begin with: results depend on them, so it is not the job's own seed.
const SEED: HashSeed = HashSeed::new(0x6469_7374_696e_6374);

/// A rank for each of `M` shares of the hashes; 0 where there was none.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
pub struct Registers<const M: usize>([u8; M]);

impl<const M: usize> Record for Registers<M> {
    fn layout() -> Layout {
        bytes_layout("registers", M)
    }
}

impl<const M: usize> Registers<M> {
    /// Bits of a hash that choose a register.
    const BITS: u32 = M.trailing_zeros();
    const RANK_MAX: u8 = (u64::BITS - Self::BITS + 1) as u8;

    #[inline(always)]
    fn insert(&mut self, hash: u64) {
        let register = &mut self.0[(hash >> (u64::BITS - Self::BITS)) as usize];
        let rank = (hash << Self::BITS).leading_zeros() as u8 + 1;
        *register = rank.min(Self::RANK_MAX).max(*register);
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, more)| *own = (*own).max(*more));
    }

    fn estimate(&self) -> f64 {
        let mut counts = [0u32; u64::BITS as usize + 1];
        self.0.iter().for_each(|&rank| counts[usize::from(rank.min(Self::RANK_MAX))] += 1);
        let registers = M as f64;
        let highest = usize::from(Self::RANK_MAX);
        let full = tau(1.0 - f64::from(counts[highest]) / registers);
        let low_ranks = counts[1..highest].iter().rev();
        let sum = low_ranks.fold(registers * full, |sum, &count| 0.5 * (sum + f64::from(count)));
        let sum = sum + registers * sigma(f64::from(counts[0]) / registers);
        registers * registers / (2.0 * std::f64::consts::LN_2 * sum)
    }
}

/// The sum of x^(2^k) 2^(k - 1) over k >= 1, plus x.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut factor) = (x, 1.0);
    loop {
        x *= x;
        let before = sum;
        sum += x * factor;
        factor *= 2.0;
        if sum <= before {
            return sum;
        }
    }
}

/// A third of 1 - x less the sum of (1 - x^(2^-k))^2 2^-k over k >= 1.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut sum, mut factor) = (1.0 - x, 1.0);
    loop {
        x = x.sqrt();
        let before = sum;
        factor *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * factor;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

/// An estimate of the number of different values, however many there are: HyperLogLog with 4,096 registers, which are as
/// many bytes for each key and window, and a standard error of 1.04 / sqrt(4,096), which is 1.6 %.
/// [`ApproxCountDistinct::registers`] gives it others.
///
/// Values are hashed by their bytes, and always alike. Those with a [`Symbol`](crate::Symbol) are a mistake of the job's
/// shape: ids of symbols may differ from run to run, and so would the estimate.
/// [`count_distinct`](crate::count_distinct) counts exactly, and takes symbols.
///
/// ```
/// use pelton::{Aggregate, Timestamp, approx_count_distinct};
///
/// let users = approx_count_distinct(|user: &u64| *user);
/// let mut acc = bytemuck::Zeroable::zeroed();
/// (0..20_000).for_each(|row| users.add(&mut acc, Timestamp::MIN, &(row % 10_000)));
/// assert!(users.value(&acc).abs_diff(10_000) < 500);
/// ```
pub fn approx_count_distinct<T: Record, V: Key, F>(of: F) -> ApproxCountDistinct<T, V, F, 4096>
where
    F: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    ApproxCountDistinct { of, rows: PhantomData }
}

/// Made by [`approx_count_distinct`], with `M` registers.
pub struct ApproxCountDistinct<T, V, F, const M: usize> {
    of: F,
    rows: PhantomData<fn(T) -> V>,
}

impl<T, V, F, const M: usize> ApproxCountDistinct<T, V, F, M> {
    /// The same with so many registers, a power of two from 16 to 65,536: as many bytes for each key and window, and a
    /// standard error of 1.04 / sqrt(registers). Other numbers do not compile.
    ///
    /// ```
    /// use pelton::{Aggregate, approx_count_distinct};
    ///
    /// fn acc_bytes<A: Aggregate>(_: A) -> usize {
    ///     size_of::<A::Acc>()
    /// }
    /// assert_eq!(acc_bytes(approx_count_distinct(|user: &u64| *user).registers::<256>()), 256);
    /// ```
    /// ```compile_fail
    /// pelton::approx_count_distinct(|user: &u64| *user).registers::<1000>();
    /// ```
    pub fn registers<const REGISTERS: usize>(self) -> ApproxCountDistinct<T, V, F, REGISTERS> {
        const { assert!(REGISTERS.is_power_of_two() && REGISTERS >= 16 && REGISTERS <= 1 << 16) }
        ApproxCountDistinct { of: self.of, rows: PhantomData }
    }
}

impl<T, V, F: Clone, const M: usize> Clone for ApproxCountDistinct<T, V, F, M> {
    fn clone(&self) -> Self {
        Self { of: self.of.clone(), rows: PhantomData }
    }
}

impl<T, V, F, const M: usize> Aggregate for ApproxCountDistinct<T, V, F, M>
where
    T: Record,
    V: Key,
    F: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type In = T;
    type Acc = Registers<M>;
    type Value = u64;
    const EXACT: bool = true;

    #[inline(always)]
    fn add(&self, acc: &mut Registers<M>, _: Timestamp, row: &T) {
        // Mixed once more, since each bit of it counts.
        acc.insert(HashSeed::new(SEED.hash(&(self.of)(row))).bits());
    }

    fn merge(&self, acc: &mut Registers<M>, later: &Registers<M>) {
        acc.merge(later);
    }

    fn value(&self, acc: &Registers<M>) -> u64 {
        acc.estimate().round() as u64
    }

    fn mistake(&self) -> Option<&'static str> {
        let has_symbol = V::layout().fields().iter().any(|field| field.kind == FieldKind::Symbol);
        has_symbol.then_some("ids of symbols may differ from run to run, and so would an estimate from them")
    }
}
