//! The harness on itself and on the built-in operators.
