//! Checks that `docs/conformance.md` and `docs/security-advisories.md` tell the truth about tests: each that they name exists and is not
//! ignored, and each row names one or says why there is none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The documents whose tables name tests.
const DOCUMENTS: &[&str] = &["docs/conformance.md", "docs/security-advisories.md"];

/// How a row begins its last cell that names no test.
const WITHOUT_TEST: &[&str] = &["Left out:", "by construction:", "open:"];

/// A test that a table names.
#[derive(Debug, PartialEq, Eq)]
struct NamedTest {
    package: String,
    file: String,
    function: String,
}

/// # Errors
///
/// Names every row without a test and every test that does not exist.
pub(crate) fn check() -> Result<()> {
    DOCUMENTS.iter().try_for_each(|document| check_document(document))
}

fn check_document(document: &str) -> Result<()> {
    let path = workspace::root().join(document);
    let table = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut problems = Vec::new();
    let mut tests = 0;
    let rows = rows(&table);
    if rows.is_empty() {
        bail!("{document} has no row that begins with a letter and a number, such as A12");
    }
    for (row, cell) in &rows {
        let named = named_tests(cell);
        if named.is_empty() && !WITHOUT_TEST.iter().any(|word| cell.starts_with(word)) {
            problems.push(format!("{row} names no test"));
        }
        for test in named {
            tests += 1;
            if let Err(problem) = exists(&test)? {
                problems.push(format!("{row}: {}:{}::{} {problem}", test.package, test.file, test.function));
            }
        }
    }
    if !problems.is_empty() {
        bail!("{document} is not right:\n  {}", problems.join("\n  "));
    }
    eprintln!("{document}: {} rows, {tests} tests, all there.", rows.len());
    Ok(())
}

/// The first and last cells of each row whose first cell is like `A12`.
fn rows(table: &str) -> Vec<(String, String)> {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let (first, last) = (cells.first()?, cells.last()?);
        let digits = first.strip_prefix(|c: char| c.is_ascii_uppercase())?;
        let numbered = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
        (matches!(cells.len(), 4 | 5) && numbered).then(|| ((*first).to_owned(), (*last).to_owned()))
    });
    rows.collect()
}

fn named_tests(cell: &str) -> Vec<NamedTest> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|text| {
        let (place, function) = text.split_once("::")?;
        let (package, file) = place.split_once(':').unwrap_or(("relay-server", place));
        Some(NamedTest { package: package.to_owned(), file: file.to_owned(), function: function.to_owned() })
    });
    tests.collect()
}

/// `Err` says what is wrong with the test.
fn exists(test: &NamedTest) -> Result<Result<(), &'static str>> {
    let root = workspace::root();
    // The fuzz targets are a workspace of their own.
    let crate_root = if test.package == "fuzz" { root.join("fuzz") } else { root.join("crates").join(&test.package) };
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&crate_root.join(folder), &test.file, &mut files)?;
    }
    let mut answer = Err("does not exist");
    for file in files {
        let source = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        answer = answer.or(is_in(&source, &test.function));
    }
    Ok(answer)
}

fn collect(folder: &Path, stem: &str, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            // `name/mod.rs` and files below `name/` count as `name`.
            let stem_is_folder = path.file_name().is_some_and(|name| name == stem);
            if stem_is_folder { collect_all(&path, files)? } else { collect(&path, stem, files)? }
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_stem().is_some_and(|name| name == stem) {
            files.push(path);
        }
    }
    Ok(())
}

fn collect_all(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect_all(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn is_in(source: &str, function: &str) -> Result<(), &'static str> {
    let head = format!("fn {function}(");
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&head)) else { return Err("does not exist") };
    let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let attributes: Vec<_> = attributes.by_ref().collect();
    if attributes.iter().any(|line| line.starts_with("#[ignore")) {
        return Err("is ignored");
    }
    if !attributes.iter().any(|line| line.starts_with("#[test]") || line.contains("test)]")) {
        return Err("is not a test");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows_and_names() {
        let table = "| # | Requirement | Section | Test |\n|---|---|---|---|\n| A7 | x | 7.2 | `allocate::a`, `turn-auth:nonce::b` |\n| What 3 | x | y | z |\n";
        let rows = rows(table);
        assert_eq!(rows.len(), 1);
        let named = named_tests(&rows[0].1);
        let name = |package: &str, file: &str, function: &str| NamedTest {
            package: package.to_owned(),
            file: file.to_owned(),
            function: function.to_owned(),
        };
        assert_eq!(named, [name("relay-server", "allocate", "a"), name("turn-auth", "nonce", "b")]);
        let advisory = super::rows("| P1 | CVE-1 | fault | here | `fuzz:replay::capture` |");
        assert_eq!(named_tests(&advisory[0].1), [name("fuzz", "replay", "capture")]);
    }

    #[test]
    fn only_a_test_that_runs_counts() {
        assert_eq!(is_in("#[test]\nfn a() {}", "a"), Ok(()));
        assert_eq!(is_in("    #[test]\n    // why\n    fn a() {}", "a"), Ok(()));
        assert_eq!(is_in("#[test]\n#[ignore]\nfn a() {}", "a"), Err("is ignored"));
        assert_eq!(is_in("fn a() {}", "a"), Err("is not a test"));
        assert_eq!(is_in("#[test]\nfn ab() {}", "a"), Err("does not exist"));
    }
}
