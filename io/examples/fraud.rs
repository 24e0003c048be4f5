//! A velocity check: a card that pays too often within a minute is told of, once a burst.
//!
//! `cargo run --release -p pelton-io --example fraud`

use pelton::{Job, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, collect};
use pelton_io::sink::{Format, RowEncoder};

const SECOND: i64 = 1_000_000_000;
/// The most payments of a card in any [`SPAN_NS`].
const PAYMENTS_MAX: usize = 5;
const SPAN_NS: i64 = 60 * SECOND;

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Payment {
    #[event(time)]
    time_ns: i64,
    card: u64,
    cents: i64,
}

/// The last payments of a card, in a circle.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Recent {
    times: Times,
    payments: u64,
    told: Timestamp,
}

/// [`PAYMENTS_MAX`] times as bytes: a field of a record is a number, a symbol or bytes.
type Times = [u8; PAYMENTS_MAX * 8];

#[derive(Debug, Clone, Copy, pelton::Record)]
#[repr(C)]
struct Suspicion {
    card: u64,
    /// The payment that was one too many.
    cents: i64,
    /// How long the card took for one payment more than it may have.
    span_ns: i64,
}

#[derive(Clone)]
struct Velocity;

impl ProcessFunction<u64> for Velocity {
    type In = Payment;
    type State = Recent;
    type Out = Suspicion;

    fn on_row(
        &self,
        card: &u64,
        time: Timestamp,
        payment: &Payment,
        recent: &mut Recent,
        context: &mut ProcessContext<'_, Suspicion>,
    ) {
        let (times, _) = recent.times.as_chunks_mut::<8>();
        let oldest = &mut times[recent.payments as usize % PAYMENTS_MAX];
        let span_ns = time.as_nanos() - i64::from_le_bytes(*oldest);
        *oldest = time.as_nanos().to_le_bytes();
        let is_full = recent.payments >= PAYMENTS_MAX as u64;
        recent.payments += 1;
        if is_full && span_ns < SPAN_NS && time.as_nanos() - recent.told.as_nanos() >= SPAN_NS {
            recent.told = time;
            context.emit(Suspicion { card: *card, cents: payment.cents, span_ns });
        }
    }
}

/// An hour of payments: 20,000 cards, a payment every 10 ms, and card 777 in a hurry for one minute.
fn payments() -> Vec<Payment> {
    let start = 1_704_205_800 * SECOND;
    let ordinary = (0..360_000u64).map(|i| {
        let card = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Payment { time_ns: start + i as i64 * SECOND / 100, card: card % 20_000, cents: 100 + (card % 9_000) as i64 }
    });
    let hurried = (0..20).map(|i| Payment { time_ns: start + (1_800 + 2 * i) * SECOND, card: 777, cents: 49_900 });
    let mut payments: Vec<_> = ordinary.chain(hurried).collect();
    payments.sort_by_key(|payment| payment.time_ns);
    payments
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut job = Job::new("velocity");
    let (sink, suspicions) = collect();
    job.source("payments", VecSource::new(payments(), 4096))
        .filter(|payment| payment.cents > 0)
        .key_by(|payment| payment.card)
        .process("velocity", Velocity)
        .sink("suspicions", sink);
    let report = job.run(Options::per_core())?;

    let suspicions = suspicions.take();
    let mut text = Vec::new();
    let mut encoder = RowEncoder::new(&<Suspicion as pelton::Record>::layout(), Format::Csv);
    encoder.header(&mut text);
    suspicions.iter().for_each(|(_, row)| encoder.row(bytemuck::bytes_of(row), &mut text));
    print!("{}", String::from_utf8_lossy(&text));
    println!("{report}");
    assert!(suspicions.iter().any(|(_, row)| row.card == 777), "the card in a hurry is found");
    assert!(suspicions.iter().all(|(_, row)| row.card == 777), "no other is");
    Ok(())
}
