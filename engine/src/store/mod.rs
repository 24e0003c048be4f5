//! Keyed state: tables of fixed-layout values, found by key.

pub(crate) mod table;
