//! The integration tests, one module a subject.

mod accounting;
mod failure;
mod order;
mod real_data;
mod sources;
mod style;
mod symbols;
mod unions;
mod unordered;
