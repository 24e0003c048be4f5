//! Two workers next to two threads by hand, over one capture: the keyed tumbling window, every row of which goes to one
//! blackhole in canonical order (window, then the symbol's text).

pub mod combine_by_hand;
pub mod contests;
pub mod exchange_by_hand;
pub mod half;
pub mod meeting;
pub mod one_thread_by_hand;
pub mod ordered_by_hand;
pub mod rows;

#[cfg(test)]
mod tests;
