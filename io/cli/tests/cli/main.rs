//! The `pelton` command as its users meet it: arguments in; files, text and exit codes out.

mod convert;
mod explain;
mod journal;
mod naive;
mod outputs;
mod replay;
mod rolled;
mod signals;
mod state;
mod support;
mod times;
mod usage;
