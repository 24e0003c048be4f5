//! The integration tests, one module a subject.

mod accounting;
mod checkpoints;
mod encoded;
mod failure;
mod fields;
mod inline;
mod joins;
mod journal;
mod journal_failures;
mod jumps;
mod merged_sources;
mod migrations;
mod numbers;
mod operators;
mod order;
mod plans;
mod real_data;
mod real_windows;
mod run_time_rows;
mod serving;
mod sources;
mod style;
mod symbols;
mod timers;
mod unions;
mod unordered;
