//! Who imports whom: arrows between the files of a crate, each to the file that defines the name, whatever re-exports it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};

use super::source::Source;

/// The arrows of a crate.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) files: Vec<PathBuf>,
    /// The room of each file.
    pub(super) rooms: Vec<String>,
    /// The names that one file takes from another.
    pub(super) arrows: BTreeMap<(usize, usize), BTreeSet<String>>,
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Target<'p> {
    Module(usize),
    /// An item of the module of that number, by name.
    Item(usize, &'p str),
}

/// How many re-exports a name is followed through.
const DEPTH: u8 = 16;

impl Graph {
    pub(super) fn of(source: &Source) -> Self {
        let mut rooms = vec![String::new(); source.files.len()];
        let mut arrows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (number, module) in source.modules.iter().enumerate() {
            if rooms[module.file].is_empty() {
                rooms[module.file].clone_from(&module.room);
            }
            for path in &module.paths {
                if let Some(Target::Item(definer, name)) = resolve(source, number, path, DEPTH) {
                    let to = source.modules[definer].file;
                    if to != module.file {
                        arrows.entry((module.file, to)).or_default().insert(name.to_owned());
                    }
                }
            }
        }
        Self { files: source.files.clone(), rooms, arrows }
    }

    /// Groups of files of which each reaches every other, from the largest on.
    pub(super) fn circles(&self) -> Vec<Vec<usize>> {
        circles(&self.arrows.keys().copied().collect())
    }

    /// The arrows between rooms.
    pub(super) fn rooms(&self) -> BTreeSet<(&str, &str)> {
        let ends = self.arrows.keys().map(|(from, to)| (self.rooms[*from].as_str(), self.rooms[*to].as_str()));
        ends.filter(|(from, to)| from != to).collect()
    }

    /// Groups of rooms of which each reaches every other.
    pub(super) fn room_circles(&self) -> Vec<Vec<&str>> {
        circles(&self.rooms())
    }
}

fn circles<N: Copy + Ord + std::hash::Hash>(arrows: &BTreeSet<(N, N)>) -> Vec<Vec<N>> {
    let graph = DiGraphMap::<N, ()>::from_edges(arrows.iter().copied());
    let mut circles: Vec<_> = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1).collect();
    circles.iter_mut().for_each(|circle| circle.sort_unstable());
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

fn resolve<'p>(source: &'p Source, from: usize, path: &'p [String], depth: u8) -> Option<Target<'p>> {
    let (first, rest) = path.split_first()?;
    let mut target = match first.as_str() {
        "crate" => Target::Module(0),
        "self" => Target::Module(from),
        "super" => Target::Module(source.modules[from].parent?),
        name => look_up(source, from, name, depth)?,
    };
    for name in rest {
        target = match target {
            // An associated function, a variant: part of the item.
            Target::Item(..) => break,
            Target::Module(module) if name == "super" => Target::Module(source.modules[module].parent?),
            Target::Module(module) => look_up(source, module, name, depth)?,
        };
    }
    Some(target)
}

fn look_up<'p>(source: &'p Source, within: usize, name: &'p str, depth: u8) -> Option<Target<'p>> {
    let depth = depth.checked_sub(1)?;
    let module = &source.modules[within];
    if module.items.iter().any(|item| item == name) {
        return Some(Target::Item(within, name));
    }
    if let Some(child) = module.children.get(name) {
        return Some(Target::Module(*child));
    }
    if let Some(path) = module.imports.get(name) {
        // `use a::a;` names an outside crate or a sibling, never itself.
        let is_itself = path.first().is_some_and(|first| first == name) && path.len() == 1;
        return if is_itself { None } else { resolve(source, within, path, depth) };
    }
    module.globs.iter().find_map(|path| match resolve(source, within, path, depth)? {
        Target::Module(other) if other != within => look_up(source, other, name, depth),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Graph::of(&Source::read(&folder.join("lib.rs")).unwrap())
    }

    fn names(graph: &Graph) -> Vec<String> {
        let stem = |file: usize| graph.files[file].file_stem().unwrap().to_str().unwrap().to_owned();
        graph.arrows.keys().map(|(from, to)| format!("{}->{}", stem(*from), stem(*to))).collect()
    }

    #[test]
    fn an_arrow_leads_to_the_file_that_defines_the_name() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b; pub use a::Thing;"),
            ("a/mod.rs", "mod inner; pub use self::inner::Thing;"),
            ("a/inner.rs", "pub struct Thing;"),
            ("b.rs", "use crate::Thing; fn f(_: Thing) {} #[cfg(test)] mod tests { use crate::a; }"),
        ]);
        assert_eq!(names(&graph), ["b->inner"]);
        assert!(graph.circles().is_empty());
        assert_eq!(graph.rooms(), BTreeSet::from([("b", "a")]));
    }

    #[test]
    fn a_circle_is_found_through_paths_in_code() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "pub fn f() { crate::b::f() }"),
            ("b.rs", "use crate::c; pub fn f() { c::f() }"),
            ("c.rs", "pub fn f() { println!(\"{}\", super::a::f()); }"),
        ]);
        assert_eq!(names(&graph), ["a->b", "b->c", "c->a"]);
        assert_eq!(graph.circles().len(), 1);
        assert_eq!(graph.circles()[0].len(), 3);
        assert_eq!(graph.room_circles(), [["a", "b", "c"]]);
    }
}
