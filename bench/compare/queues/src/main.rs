//! Pelton's rings next to other queues.

fn main() {
    println!("Pelton's rings next to other queues");
}
