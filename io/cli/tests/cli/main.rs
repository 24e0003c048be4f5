//! The `pelton` command as its users meet it: arguments in; files, text and exit codes out.

mod convert;
mod naive;
mod replay;
mod support;
mod usage;
