//! Fraud: a payment is declined when its card cannot have travelled so fast, or pays too often within a minute.
//!
//! A card that pays in Delhi, and ten minutes later in New York, would have to fly at 70,000 km/h. Each decline leaves as soon
//! as the payment that caused it was read. Payments that come too late are still judged, against where the card is now; those
//! of nothing, or from a place that is none, are dropped before.
//!
//! `cargo run --release -p pelton-io --example fraud`

use pelton::{Code, Job, Options, ProcessContext, ProcessFunction, Timestamp, VecSource, collect};
use pelton_io::sink::{Format, RowEncoder};

const SECOND: i64 = 1_000_000_000;
/// The most payments of a card in any [`SPAN_NS`].
const PAYMENTS_MAX: usize = 5;
const SPAN_NS: i64 = 60 * SECOND;
/// Faster than an airliner, which takes its passengers from gate to gate at less.
const KM_PER_HOUR_MAX: f64 = 1_000.0;
/// Terminals in one town are not where they say.
const KM_MIN: f64 = 100.0;

/// In degrees.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    fn is_on_earth(&self) -> bool {
        self.latitude.abs() <= 90.0 && self.longitude.abs() <= 180.0
    }

    /// Along a great circle, by the haversine formula.
    fn km_to(&self, other: &Self) -> f64 {
        let half_sine = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let cosines = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let square = half_sine(self.latitude, other.latitude) + cosines * half_sine(self.longitude, other.longitude);
        2.0 * 6_371.0 * square.sqrt().min(1.0).asin()
    }
}

#[derive(Clone, Copy, pelton::Event)]
#[repr(C)]
struct Payment {
    #[event(time)]
    time_ns: i64,
    card: u64,
    cents: i64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, pelton::Enum)]
#[repr(u64)]
enum Reason {
    TooFar = 1,
    TooOften,
}

#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Decline {
    card: u64,
    cents: i64,
    reason: Code<Reason>,
    /// How far the card has travelled, and in how many seconds it came to its last payments.
    km: u64,
    seconds: i64,
}

/// The last payments of a card, in a circle; zeros for a new card.
#[derive(Clone, Copy, pelton::Record)]
#[repr(C)]
struct Recent {
    times: [i64; PAYMENTS_MAX],
    payments: u64,
    latest: i64,
    place: Place,
}

#[derive(Clone)]
struct Judge;

impl ProcessFunction<u64> for Judge {
    type In = Payment;
    type State = Recent;
    type Out = Decline;

    fn on_row(
        &self,
        card: &u64,
        time: Timestamp,
        payment: &Payment,
        recent: &mut Recent,
        context: &mut ProcessContext<'_, Decline>,
    ) {
        let now = time.as_nanos();
        let mut decline = |reason: Reason, km: f64, span_ns: i64| {
            let (km, seconds) = (km.round() as u64, span_ns / SECOND);
            context.emit(Decline { card: *card, cents: payment.cents, reason: reason.into(), km, seconds });
        };
        if recent.payments > 0 {
            let (km, span_ns) = (recent.place.km_to(&payment.place), (now - recent.latest).abs());
            let hours = span_ns as f64 / (3_600 * SECOND) as f64;
            if km >= KM_MIN && km > KM_PER_HOUR_MAX * hours {
                // The card is believed to be where it was.
                return decline(Reason::TooFar, km, span_ns);
            }
        }
        let oldest = &mut recent.times[recent.payments as usize % PAYMENTS_MAX];
        let span_ns = (now - *oldest).abs();
        if recent.payments >= PAYMENTS_MAX as u64 && span_ns < SPAN_NS {
            return decline(Reason::TooOften, 0.0, span_ns);
        }
        *oldest = now;
        recent.payments += 1;
        (recent.latest, recent.place) = (now, payment.place);
    }
}

const DELHI: Place = Place { latitude: 28.61, longitude: 77.21 };
const NEW_YORK: Place = Place { latitude: 40.71, longitude: -74.01 };

/// An hour of payments: 20,000 cards in Delhi, a payment every 10 ms. Card 777 pays seven times in twelve seconds, card 4,711
/// is in New York ten minutes after Delhi, and one payment comes from a place that is none.
fn payments() -> Vec<Payment> {
    let start = 1_704_205_800 * SECOND;
    let ordinary = (0..360_000u64).map(|i| {
        let card = (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 20_000;
        Payment { time_ns: start + i as i64 * SECOND / 100, card, cents: 100 + (card % 9_000) as i64, place: DELHI }
    });
    let ordinary = ordinary.filter(|payment| ![777, 4_711].contains(&payment.card));
    let at = |second: i64, card, cents, place| Payment { time_ns: start + second * SECOND, card, cents, place };
    let hurried = (0..7).map(|i| at(1_800 + 2 * i, 777, 49_900, DELHI));
    let nowhere = Place { latitude: 1e9, longitude: f64::NAN };
    let strange = [(100, DELHI), (700, NEW_YORK), (800, nowhere), (900, DELHI)];
    let strange = strange.map(|(second, place)| at(second, 4_711, 120_000, place));
    let mut payments: Vec<_> = ordinary.chain(hurried).chain(strange).collect();
    payments.sort_by_key(|payment| payment.time_ns);
    payments
}

/// The declines as CSV.
pub(crate) fn run() -> Result<String, Box<dyn std::error::Error>> {
    let mut job = Job::new("fraud");
    let (sink, declines) = collect();
    job.source("payments", VecSource::new(payments(), 4096))
        .filter(|payment| payment.cents > 0 && payment.place.is_on_earth())
        .key_by(|payment| payment.card)
        .process("judge", Judge)
        .sink("declines", sink);
    job.run(Options::per_core())?.balance()?;

    let mut text = Vec::new();
    let mut encoder = RowEncoder::new(&<Decline as pelton::Record>::layout(), Format::Csv);
    encoder.header(&mut text);
    declines.take().iter().for_each(|(_, row)| encoder.row(bytemuck::bytes_of(row), &mut text));
    Ok(String::from_utf8(text)?)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", run()?);
    Ok(())
}
