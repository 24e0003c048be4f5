//! Files of sinks that crash, lose power, fail and are in the way.

mod crashes;
mod faulty;
mod files;
