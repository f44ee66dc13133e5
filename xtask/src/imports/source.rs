//! Reads the modules of a crate: which file defines what, and which paths each file names. Test code is left out.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

/// The modules of one crate. The first is its root.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) modules: Vec<Module>,
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Module {
    /// `None` for the root.
    pub(super) parent: Option<usize>,
    /// The file that holds it, as an index into [`Source::files`].
    pub(super) file: usize,
    /// The name of the room of the crate that it is in: its first module below the root, or empty for the root.
    pub(super) room: String,
    pub(super) children: BTreeMap<String, usize>,
    /// The names of the items defined here.
    pub(super) items: Vec<String>,
    /// What each imported name stands for.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Modules of which everything is imported.
    pub(super) globs: Vec<Vec<String>>,
    /// The paths that the code names, private imports included. A re-export is not a use.
    pub(super) paths: Vec<Vec<String>>,
}

impl Source {
    /// Reads the crate whose root is the file `root`.
    ///
    /// # Errors
    ///
    /// When a file is missing or is no Rust.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut source = Self::default();
        let folder = root.parent().unwrap_or(root).to_owned();
        source.read_file(root, &folder, None, String::new())?;
        Ok(source)
    }

    fn read_file(&mut self, path: &Path, folder: &Path, parent: Option<usize>, room: String) -> Result<usize> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        self.files.push(path.to_owned());
        let file = self.files.len() - 1;
        self.read_module(parsed.items, file, folder, parent, room)
    }

    fn read_module(
        &mut self,
        items: Vec<Item>,
        file: usize,
        folder: &Path,
        parent: Option<usize>,
        room: String,
    ) -> Result<usize> {
        let this = self.modules.len();
        self.modules.push(Module {
            parent,
            file,
            room,
            children: BTreeMap::new(),
            items: Vec::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            paths: Vec::new(),
        });
        for item in items {
            if attributes(&item).iter().any(is_for_tests) {
                continue;
            }
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let room = if parent.is_none() { name.clone() } else { self.modules[this].room.clone() };
                    let inside = folder.join(&name);
                    let child = match module.content {
                        Some((_, items)) => self.read_module(items, file, &inside, Some(this), room)?,
                        None => {
                            let path = file_of(&module.attrs, folder, &name);
                            self.read_file(&path, &inside, Some(this), room)?
                        }
                    };
                    self.modules[this].children.insert(name, child);
                }
                Item::Use(import) => {
                    let is_private = matches!(import.vis, Visibility::Inherited);
                    self.modules[this].import(&import.tree, &mut Vec::new(), is_private);
                }
                item => {
                    self.modules[this].items.extend(name_of(&item));
                    scan(item.to_token_stream(), &mut self.modules[this].paths);
                }
            }
        }
        Ok(this)
    }
}

impl Module {
    fn import(&mut self, tree: &UseTree, path: &mut Vec<String>, is_private: bool) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(&step.tree, path, is_private);
                path.pop();
            }
            UseTree::Name(name) if name.ident == "self" => {
                let alias = path.last().cloned().unwrap_or_default();
                self.import_as(alias, path.clone(), is_private);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.import_as(name.clone(), [path.as_slice(), &[name]].concat(), is_private);
            }
            UseTree::Rename(rename) => {
                let full = [path.as_slice(), &[rename.ident.to_string()]].concat();
                self.import_as(rename.rename.to_string(), full, is_private);
            }
            UseTree::Glob(_) => self.globs.push(path.clone()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path, is_private)),
        }
    }

    fn import_as(&mut self, alias: String, path: Vec<String>, is_private: bool) {
        if is_private {
            self.paths.push(path.clone());
        }
        if alias != "_" {
            self.imports.insert(alias, path);
        }
    }
}

fn file_of(attributes: &[Attribute], folder: &Path, name: &str) -> PathBuf {
    let given = attributes.iter().find(|attribute| attribute.path().is_ident("path"));
    let given = given.and_then(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) => Some(pair.value.to_token_stream().to_string().trim_matches('"').to_owned()),
        _ => None,
    });
    match given {
        Some(given) => folder.join(given),
        None => {
            let flat = folder.join(format!("{name}.rs"));
            if flat.is_file() { flat } else { folder.join(name).join("mod.rs") }
        }
    }
}

/// Whether this is `#[cfg(test)]`, `#[cfg(all(test, ...))]` or `#[test]`.
fn is_for_tests(attribute: &Attribute) -> bool {
    let tokens = attribute.meta.to_token_stream().to_string();
    attribute.path().is_ident("test")
        || attribute.path().is_ident("cfg")
            && tokens.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
            && !tokens.contains("not")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Macro(item) => item.ident.as_ref()?.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Union(item) => item.ident.to_string(),
        _ => return None,
    })
}

/// Collects the paths, such as `a::b`, among `tokens`, also those inside of macros.
fn scan(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    // How many colons came since the last name.
    let mut colons = 0;
    let mut follows_dot = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if colons != 2 {
                    paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                }
                // A field or a method names no path.
                if !follows_dot {
                    path.push(name.to_string());
                }
                (colons, follows_dot) = (0, false);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
            other => {
                paths.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                colons = 0;
                follows_dot = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '.');
                if let TokenTree::Group(group) = other {
                    scan(group.stream(), paths);
                }
            }
        }
    }
    paths.extend((!path.is_empty()).then_some(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_paths_also_in_macros_and_no_fields() {
        let mut paths = Vec::new();
        let code = "fn f(a: b::C) -> D { log!(x = %e::f(), self.g); h.i::<j::K>() }";
        scan(code.parse().unwrap(), &mut paths);
        let paths: Vec<_> = paths.iter().map(|path| path.join("::")).collect();
        for expected in ["b::C", "D", "e::f", "j::K"] {
            assert!(paths.iter().any(|path| path == expected), "{expected}: {paths:?}");
        }
        for field in ["g", "i"] {
            assert!(paths.iter().all(|path| path != field), "{field}: {paths:?}");
        }
    }

    #[test]
    fn test_code_is_told_by_its_attribute() {
        let is_test = |code: &str| attributes(&syn::parse_str(code).unwrap()).iter().any(is_for_tests);
        assert!(is_test("#[cfg(test)] mod tests;") && is_test("#[cfg(all(test, unix))] use a::B;"));
        assert!(!is_test("#[cfg(not(test))] mod a;") && !is_test("#[cfg(feature = \"testing\")] mod a;"));
    }
}
