//! `cargo xtask imports`: who imports whom inside each crate, and whether an arrow goes where none should.
//!
//! Three rules hold, and `cargo xtask test` keeps them:
//! 1. No more than two files of a crate import one another in a circle.
//! 2. The rooms of a crate, which are the modules right below its root, form no circle.
//! 3. Where `floors.rs` gives the rooms of a crate an order, each imports from floors below its own only.

mod floors;
mod graph;
mod source;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use self::{graph::Graph, source::Source};
use crate::workspace;

/// Say which files and rooms of a crate import one another, and fail where they should not.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print every arrow between the rooms of this crate; may be given several times.
    #[arg(long = "show", value_name = "CRATE")]
    shown: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let crates = crates()?;
    if let Some(unknown) = args.shown.iter().find(|name| !crates.contains_key(*name)) {
        bail!(
            "there is no crate `{unknown}`; these are there: {}",
            crates.keys().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    for name in &args.shown {
        let graph = Graph::of(&Source::read(&crates[name])?);
        println!("{name}:");
        for (from, to) in graph.rooms() {
            println!("  {} -> {}", room(from), room(to));
        }
    }
    check()
}

/// # Errors
///
/// Names every circle and every arrow that goes up.
pub(crate) fn check() -> Result<()> {
    let mut problems = Vec::new();
    let (mut files, mut arrows, mut rooms) = (0, 0, 0);
    for (name, root) in crates()? {
        let graph = Graph::of(&Source::read(&root)?);
        files += graph.files.len();
        arrows += graph.arrows.len();
        rooms += graph.rooms().len();
        problems.extend(problems_of(&name, &graph));
    }
    let circles = problems.iter().filter(|problem| problem.is_circle).count();
    println!(
        "{files} files, {arrows} arrows between them, {rooms} between rooms: {circles} circles, {} arrows that go up.",
        problems.len() - circles
    );
    if !problems.is_empty() {
        let texts: Vec<_> = problems.into_iter().map(|problem| problem.text).collect();
        bail!("these imports should not be:\n{}", texts.join("\n"));
    }
    Ok(())
}

struct Problem {
    is_circle: bool,
    text: String,
}

fn problems_of(name: &str, graph: &Graph) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |is_circle, text| problems.push(Problem { is_circle, text });
    for circle in graph.circles().iter().filter(|circle| circle.len() > 2) {
        let ties = ties(graph, |from, to| circle.contains(&from) && circle.contains(&to));
        add(true, format!("  {name}: {} files import one another in a circle:\n{ties}", circle.len()));
    }
    for circle in graph.room_circles() {
        let is_inside = |file: usize| circle.contains(&graph.rooms[file].as_str());
        let ties = ties(graph, |from, to| graph.rooms[from] != graph.rooms[to] && is_inside(from) && is_inside(to));
        let rooms: Vec<_> = circle.iter().map(|one| room(one)).collect();
        add(true, format!("  {name}: these rooms import one another in a circle: {}\n{ties}", rooms.join(", ")));
    }
    if let Some(floors) = floors::of(name) {
        let floor = |room: &str| floors.iter().position(|rooms| rooms.contains(&room));
        for (from, to) in graph.rooms() {
            let text = match (floor(from), floor(to)) {
                (Some(above), Some(below)) if above < below => continue,
                (Some(_), Some(_)) => {
                    format!("  {name}: {} imports from {}, which is not below it", room(from), room(to))
                }
                _ => format!("  {name}: {} or {} has no floor in xtask/src/imports/floors.rs", room(from), room(to)),
            };
            let ties = ties(graph, |a, b| graph.rooms[a] == from && graph.rooms[b] == to);
            add(false, format!("{text}\n{ties}"));
        }
    }
    problems
}

/// The arrows for which `is_one` holds, a line each.
fn ties(graph: &Graph, is_one: impl Fn(usize, usize) -> bool) -> String {
    let short = |file: usize| graph.files[file].strip_prefix(workspace::root()).unwrap_or(&graph.files[file]).display();
    let arrows = graph.arrows.iter().filter(|((from, to), _)| is_one(*from, *to));
    let lines = arrows.map(|((from, to), names)| {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        format!("    {} -> {}: {}", short(*from), short(*to), names.join(", "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn room(name: &str) -> &str {
    if name.is_empty() { "the root" } else { name }
}

/// The root file of each crate of the workspace, by name.
fn crates() -> Result<BTreeMap<String, PathBuf>> {
    let folder = workspace::root().join("crates");
    let mut crates = BTreeMap::new();
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for path in entries.map(|entry| entry.map(|entry| entry.path())).chain([Ok(workspace::root().join("xtask"))]) {
        let path = path?;
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| path.join(root));
        if let Some(root) = roots.into_iter().find(|root: &PathBuf| Path::is_file(root)) {
            crates.insert(name.to_owned(), root);
        }
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_is_read() {
        let crates = crates().unwrap();
        for name in ["relay-bin", "relay-server", "stun-msg", "xtask"] {
            let graph = Graph::of(&Source::read(&crates[name]).unwrap());
            assert!(graph.files.len() > 10 && graph.arrows.len() > 10, "{name}");
        }
    }
}
