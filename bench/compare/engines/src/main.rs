//! Pelton next to other stream-processing engines on the same events.

fn main() {
    println!("Pelton next to other stream-processing engines on the same events");
}
