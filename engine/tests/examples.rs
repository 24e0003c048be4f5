//! The engine's example programs for beginners: what they print, and that they stay short.

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/logins.rs"]
mod logins;
#[path = "../examples/variance.rs"]
mod variance;

use std::process::Command;

type Main = fn() -> Result<(), Box<dyn std::error::Error>>;

const EXAMPLES: [(&str, Main); 3] = [("embed", embed::main), ("logins", logins::main), ("variance", variance::main)];
const EXAMPLE: &str = "PELTON_TEST_EXAMPLE";
/// Around what an example prints, where the test harness prints, too.
const MARK: &str = "-----\n";

/// Runs an example in a process of its own, which is this test again, and gives what it prints to stdout.
fn stdout_of(name: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["each_example_prints_its_results", "--exact", "--nocapture"]).env(EXAMPLE, name);
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{name}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout.split(MARK).nth(1).unwrap().to_owned()
}

#[test]
fn each_example_prints_its_results() {
    if let Ok(name) = std::env::var(EXAMPLE) {
        let (_, main) = EXAMPLES.into_iter().find(|(example, _)| *example == name).unwrap();
        print!("{MARK}");
        main().unwrap();
        return print!("{MARK}");
    }
    let minutes = "\
1970-01-01T00:00:00Z: user 0 clicked 30 times
1970-01-01T00:00:00Z: user 1 clicked 30 times
1970-01-01T00:01:00Z: user 0 clicked 30 times
1970-01-01T00:01:00Z: user 1 clicked 30 times
1970-01-01T00:02:00Z: user 0 clicked 15 times
1970-01-01T00:02:00Z: user 1 clicked 15 times
";
    assert_eq!(stdout_of("embed"), minutes);
    assert_eq!(stdout_of("logins"), "2024-01-02T14:30:50Z: user 2 failed three times\n");
    // Of 20, 22 and 24; of 18 and 18.5; of 21 and 21.5.
    let variances = "\
1970-01-01T00:00:00Z room 1: 4
1970-01-01T00:00:00Z room 2: 0.125
1970-01-01T00:01:00Z room 1: 0.125
";
    assert_eq!(stdout_of("variance"), variances);
}

#[test]
fn the_examples_for_beginners_are_short() {
    for (name, lines_max) in [("embed", 25), ("logins", 35), ("variance", 30)] {
        let path = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        assert!(lines <= lines_max, "{name} has {lines} lines of code, at most {lines_max}");
    }
}
