//! Style as a test: layers, file length, words that must not stay, where `unsafe` may be.
//!
//! Each check prints every offending line as `file:line: what is wrong`.

use std::fs;
use std::path::{Path, PathBuf};

/// The directories of the engine from the lowest up; those in one row do not know each other.
const LAYERS: &[&[&str]] =
    &[&["base"], &["ring"], &["progress", "store", "log"], &["operator"], &["runtime"], &["graph"], &["api"]];
/// Directories of the engine that stand beside the layers and may use all of them.
const BESIDE_LAYERS: &[&str] = &["testing"];
/// The most lines of code of a file; tests, comments and empty lines are not counted.
const CODE_LINES_MAX: usize = 400;
/// Where `unsafe` code may be.
const UNSAFE: &[&str] = &[
    "engine/src/base/prefetch.rs",
    "engine/src/log/mapped.rs",
    "engine/src/ring/",
    "io/src/capture/mapping.rs",
    "engine/derive/src/record.rs",
    "tests/tests/allocation.rs",
];

// In two parts, so that this file does not find itself.
const WORDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];
const MACROS: &[&str] = &[concat!("to", "do!"), concat!("unimple", "mented!"), concat!("d", "bg!")];
const UNSAFE_WORD: &str = concat!("un", "safe");

struct SourceFile {
    /// From the workspace's root, with `/` between.
    path: String,
    lines: Vec<String>,
    /// For each line, whether it belongs to an item that only tests have.
    is_test: Vec<bool>,
}

impl SourceFile {
    fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut is_test = vec![is_test_path(path); lines.len()];
        let mut at = 0;
        while at < lines.len() {
            if lines[at].trim() == "#[cfg(test)]" {
                let end = item_end(&lines, at);
                is_test[at..=end].fill(true);
                at = end;
            }
            at += 1;
        }
        Self { path: path.to_owned(), lines, is_test }
    }

    /// The numbers and texts of lines without comments, of tests too where `tests` says so.
    fn code(&self, tests: bool) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.lines.iter().zip(&self.is_test).enumerate();
        lines
            .filter(move |(_, (_, is_test))| tests || !**is_test)
            .map(|(i, (line, _))| (i + 1, without_comment(line).trim()))
            .filter(|(_, code)| !code.is_empty())
    }
}

/// Whether the whole file is tests.
fn is_test_path(path: &str) -> bool {
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    directories.split('/').any(|directory| directory == "tests") && !path.starts_with("tests/src/")
        || name == "tests.rs"
        || name.ends_with("_tests.rs")
}

/// The last line of the item behind the attribute in line `at`: as `rustfmt` sets it, the first line
/// that ends in `;` or `,`, or the closing brace below the attribute.
fn item_end(lines: &[String], at: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    for (number, line) in lines.iter().enumerate().skip(at + 1) {
        let code = without_comment(line).trim_end();
        let is_close = indent(line) == indent(&lines[at]) && code.trim_start() == "}";
        let is_one_line = indent(line) == indent(&lines[at]) && (code.ends_with([';', ',']) || code.ends_with("{}"));
        if is_close || is_one_line {
            return number;
        }
    }
    lines.len() - 1
}

fn without_comment(line: &str) -> &str {
    // A `//` inside a text stands behind something that is no space, such as `https:`.
    let starts = line.match_indices("//").map(|(at, _)| at);
    let comment = starts.into_iter().find(|&at| at == 0 || line.as_bytes()[at - 1].is_ascii_whitespace());
    comment.map_or(line, |at| &line[..at])
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for member in ["engine", "io", "bench", "tests"] {
        read_tree(&root().join(member), member, &mut files);
    }
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
}

fn read_tree(directory: &Path, name: &str, out: &mut Vec<SourceFile>) {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let file_name = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{name}/{file_name}");
        if path.is_dir() {
            if file_name != "target" && !file_name.starts_with('.') {
                read_tree(&path, &name, out);
            }
        } else if file_name.ends_with(".rs") {
            // A file that is moved meanwhile is found under its other name the next time.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            out.push(SourceFile::new(&name, &text));
        }
    }
}

/// Holds all files against a rule.
fn check(rule: impl Fn(&SourceFile) -> Vec<(usize, String)>) {
    let mut found = String::new();
    for file in sources() {
        for (line, what) in rule(&file) {
            found += &format!("\n{}:{line}: {what}", file.path);
        }
    }
    assert!(found.is_empty(), "{found}");
}

/// The modules and items that a piece of code names behind `crate::`, with their lines.
fn uses_of_crate(file: &SourceFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code: Vec<_> = file.code(false).collect();
    for (i, &(number, line)) in code.iter().enumerate() {
        for (at, _) in line.match_indices("crate::") {
            let is_word = at > 0 && line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
            if is_word {
                continue;
            }
            // A group may go over lines; a depth of 1 is where its names stand.
            let rest = std::iter::once((number, &line[at + "crate::".len()..])).chain(code[i + 1..].iter().copied());
            let (mut depth, mut name) = (0, String::new());
            'group: for (number, text) in rest {
                for c in text.chars() {
                    match c {
                        '{' => depth += 1,
                        _ if c.is_alphanumeric() || c == '_' => {
                            if depth <= 1 {
                                name.push(c);
                            }
                            continue;
                        }
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if !name.is_empty() {
                        found.push((number, std::mem::take(&mut name)));
                    }
                    // Behind a name, what is left of its path is no longer the crate's.
                    if c == ':' && depth == 1 {
                        depth = 2;
                    } else if c == ',' && depth == 2 {
                        depth = 1;
                    }
                    if depth <= 0 || c == ';' {
                        break 'group;
                    }
                }
                if !name.is_empty() {
                    found.push((number, std::mem::take(&mut name)));
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found
}

fn layer_of(directory: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&directory))
}

fn wrong_layers(file: &SourceFile) -> Vec<(usize, String)> {
    let Some((own, _)) = file.path.strip_prefix("engine/src/").and_then(|path| path.split_once('/')) else {
        return Vec::new();
    };
    if BESIDE_LAYERS.contains(&own) {
        return Vec::new();
    }
    let Some(layer) = layer_of(own) else { return vec![(1, format!("`{own}` is in no layer"))] };
    let is_above = |name: &str| name != own && layer_of(name).is_some_and(|other| other >= layer);
    uses_of_crate(file)
        .into_iter()
        .filter(|(_, name)| is_above(name) || BESIDE_LAYERS.contains(&name.as_str()))
        .map(|(line, name)| (line, format!("`{own}` uses `{name}`, which is not below it")))
        .collect()
}

fn too_long(file: &SourceFile) -> Vec<(usize, String)> {
    match file.code(false).nth(CODE_LINES_MAX) {
        Some((line, _)) => vec![(line, format!("line of code {}, at most {CODE_LINES_MAX}", CODE_LINES_MAX + 1))],
        None => Vec::new(),
    }
}

fn left_over(file: &SourceFile) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (i, line) in file.lines.iter().enumerate() {
        found.extend(WORDS.iter().filter(|word| line.contains(*word)).map(|word| (i + 1, (*word).to_owned())));
    }
    for (number, code) in file.code(true) {
        found.extend(MACROS.iter().filter(|name| code.contains(*name)).map(|name| (number, (*name).to_owned())));
        if code.starts_with("#[ignore") {
            found.push((number, "a test that nobody runs".to_owned()));
        }
    }
    found
}

fn misplaced_unsafe(file: &SourceFile) -> Vec<(usize, String)> {
    if UNSAFE.iter().any(|allowed| file.path.starts_with(allowed)) {
        return Vec::new();
    }
    let is_word = |code: &str| {
        let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_' || c == '"';
        code.match_indices(UNSAFE_WORD).any(|(at, word)| {
            !code[..at].ends_with(part_of_a_name) && !code[at + word.len()..].starts_with(part_of_a_name)
        })
    };
    let lines = file.code(true).filter(|(_, code)| is_word(code));
    lines.map(|(line, _)| (line, format!("{UNSAFE_WORD} code, which may be in {UNSAFE:?} only"))).collect()
}

fn without_subject(file: &SourceFile) -> Vec<(usize, String)> {
    match file.lines.first() {
        Some(line) if line.starts_with("//! ") => Vec::new(),
        _ => vec![(1, "a file opens with `//!` and its one subject".to_owned())],
    }
}

#[test]
fn layers_use_only_what_is_below_them() {
    check(wrong_layers);
}

#[test]
fn files_have_one_subject_and_at_most_400_lines_of_code() {
    check(too_long);
    check(without_subject);
}

#[test]
fn nothing_is_left_over_and_no_test_is_ignored() {
    check(left_over);
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    check(misplaced_unsafe);
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let example = fs::read_to_string(root().join("io/examples/vwap.rs")).unwrap();
    let program = &example[example.find("use ").unwrap()..];
    assert!(readme.contains(&format!("```rust\n{program}```\n")), "README.md shows another program than vwap.rs");
}

#[test]
fn the_tests_that_the_rules_of_windows_name_are_there() {
    let read = |path: &str| fs::read_to_string(root().join("engine/src").join(path)).unwrap();
    let tests: String = [
        "operator/window/assigners.rs",
        "operator/window/calendar.rs",
        "testing/tests/combined.rs",
        "testing/tests/firings/combined.rs",
        "testing/tests/window_rules.rs",
        "testing/tests/window_ticks.rs",
    ]
    .map(read)
    .concat();
    let rules = read("operator/window/mod.rs");
    let named =
        rules.lines().filter(|line| line.starts_with("//!")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<&str> = named.filter(|name| name.matches('_').count() > 3).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
    }
    for name in read("testing/tests/window_rules.rs").split("#[test]\nfn ").skip(1) {
        let name = &name[..name.find('(').unwrap()];
        assert!(rules.contains(name), "no rule names the test {name}");
    }
}

/// Each rule finds what it is there for.
#[test]
fn planted_violations_are_found() {
    const NONE: [usize; 0] = [];
    let lines = |rule: fn(&SourceFile) -> Vec<(usize, String)>, path: &str, text: &str| -> Vec<usize> {
        rule(&SourceFile::new(path, text)).into_iter().map(|(line, _)| line).collect()
    };
    let ring = "engine/src/ring/a.rs";
    assert_eq!(lines(wrong_layers, ring, "use crate::base::sync::Arc;\nuse crate::Timestamp;\n"), NONE);
    assert_eq!(lines(wrong_layers, ring, "use crate::base;\nlet x = crate::api::job::Job::new();\n"), [2]);
    assert_eq!(
        lines(wrong_layers, ring, "use crate::{\n    Record,\n    base::key::graph,\n    store::table,\n};\n"),
        [4]
    );
    assert_eq!(lines(wrong_layers, "engine/src/progress/a.rs", "use crate::store::table::Table;\n"), [1]);
    assert_eq!(lines(wrong_layers, "engine/src/api/a.rs", "use crate::testing::Verify;\n"), [1]);
    assert_eq!(lines(wrong_layers, "engine/src/new/a.rs", "//! New.\n"), [1]);
    let test_only = "#[cfg(test)]\nmod tests {\n    use crate::api::job::Job;\n}\nuse crate::graph::node;\n";
    assert_eq!(lines(wrong_layers, ring, test_only), [5]);
    assert_eq!(lines(wrong_layers, ring, "#[cfg(test)]\nmod tests;\nuse crate::graph::node;\n"), [3]);

    let long = "// a comment\n\nlet a = 1;\n".repeat(CODE_LINES_MAX);
    assert_eq!(lines(too_long, "io/src/a.rs", &long), NONE);
    assert_eq!(lines(too_long, "io/src/a.rs", &(long.clone() + "let b = 2;\n")), [3 * CODE_LINES_MAX + 1]);
    assert_eq!(lines(too_long, "io/src/a/tests.rs", &(long + "let b = 2;\n")), NONE);

    let planted = [WORDS[0], "x", MACROS[2], "#[ignore]", "fn f() {}"].join("\n");
    assert_eq!(lines(left_over, "io/tests/a.rs", &planted), [1, 3, 4]);
    let planted = format!("#![deny({UNSAFE_WORD}_code)]\n// {UNSAFE_WORD} {{\nlet a = {UNSAFE_WORD} {{ b() }};\n");
    assert_eq!(lines(misplaced_unsafe, "io/src/a.rs", &planted), [3]);
    assert_eq!(lines(misplaced_unsafe, ring, &planted), NONE);
    assert_eq!(lines(without_subject, "io/src/a.rs", "use std::fs;\n"), [1]);
    assert_eq!(lines(without_subject, "io/src/a.rs", "//! Files.\n"), NONE);
}
