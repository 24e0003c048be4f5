//! What was asked for on the command line.

use pelton::BoxError;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
Pelton's ring next to other queues between two threads, and its two workers next to two threads by hand.

  --rounds N       rounds in which all rivals run in turns; 5 unless told
  --events N       events of one run, and of the capture that is made; 33554432 unless told
  --keys N         symbols of the capture that is made; 10000 unless told
  --capture FILE   a capture of trades in order, instead of one that is made
  --window-ms N    the windows' size; 1000 unless told
  --latency-ms N   how long each run of a latency lasts; 1000 unless told
  --only TEXT      contests with this text in their names
  --out FILE       write all figures there, as JSON";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub rounds: usize,
    pub events: u64,
    pub keys: u32,
    pub capture: Option<PathBuf>,
    pub window: Duration,
    pub latency_ms: u64,
    pub only: Option<String>,
    pub out: Option<PathBuf>,
}

impl Options {
    /// The options in `arguments`; `None` where help is wanted.
    ///
    /// # Errors
    /// When there is an option that does not exist, or a value that makes no sense.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, BoxError> {
        let mut options = Self {
            rounds: 5,
            events: 1 << 25,
            keys: 10_000,
            capture: None,
            window: Duration::from_secs(1),
            latency_ms: 1000,
            only: None,
            out: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--rounds" => options.rounds = number(&name, &value)?,
                "--events" => options.events = number(&name, &value)?,
                "--keys" => options.keys = number(&name, &value)?,
                "--capture" => options.capture = Some(value.into()),
                "--window-ms" => options.window = Duration::from_millis(number(&name, &value)?),
                "--latency-ms" => options.latency_ms = number(&name, &value)?,
                "--only" => options.only = Some(value),
                "--out" => options.out = Some(value.into()),
                _ => return Err(format!("there is no option {name}; see --help").into()),
            }
        }
        Ok(Some(options))
    }
}

/// A number, at least 1.
fn number<N: FromStr + PartialOrd + From<u8>>(name: &str, value: &str) -> Result<N, BoxError> {
    let number = value.parse().ok().filter(|number: &N| *number >= N::from(1));
    number.ok_or_else(|| format!("{name}: found {value}, expected a number of at least 1").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_refused() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
        let options = parse("--rounds 7 --events 100 --only ring --window-ms 20").unwrap().unwrap();
        assert_eq!((options.rounds, options.events, options.window.as_millis()), (7, 100, 20));
        assert_eq!(options.only.as_deref(), Some("ring"));
        assert_eq!(parse("--rounds 3 --help").unwrap(), None);
        for wrong in ["--rounds 0", "--rounds x", "--rounds", "--keys -1", "--round 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
