//! Which file imports which, read from the sources, and what goes round in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};

/// Files by their module path, as `ledger::redis`, and the modules that each of them names.
pub struct Imports(BTreeMap<String, BTreeSet<String>>);

impl Imports {
    /// Of a crate's sources. Tests may import what they like.
    pub fn of(files: &[(std::path::PathBuf, String)], root: &Path) -> Self {
        let modules: BTreeMap<_, _> = files
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|(path, text)| (module_of(path.strip_prefix(root).expect("below the root")), text))
            .filter(|(module, _)| module.split("::").all(|part| part != "tests"))
            .collect();
        let imports = modules.iter().map(|(module, text)| {
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{module}: {error}"));
            let mut reader = Reader { within: parts(module), modules: &modules, found: BTreeSet::new() };
            reader.visit_file(&parsed);
            reader.found.remove(module);
            (module.clone(), reader.found)
        });
        Self(imports.collect())
    }

    /// Groups of files each of which leads back to itself by way of the others.
    pub fn circles(&self) -> BTreeSet<BTreeSet<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|file| (file.as_str(), self.from(file))).collect();
        let together = |a: &str, b: &str| reached[a].contains(b) && reached[b].contains(a);
        let circular = reached.keys().copied().filter(|file| reached[file].contains(file));
        circular.map(|file| reached[file].iter().copied().filter(|other| together(file, other)).collect()).collect()
    }

    /// All that a file leads to.
    fn from(&self, file: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut ahead = vec![file];
        while let Some(next) = ahead.pop() {
            for import in &self.0[next] {
                if reached.insert(import.as_str()) {
                    ahead.push(import);
                }
            }
        }
        reached
    }
}

/// `ledger/redis/mod.rs` is `ledger::redis`; the root of a crate has no name.
fn module_of(path: &Path) -> String {
    let mut parts: Vec<_> = path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    parts.join("::")
}

fn parts(module: &str) -> Vec<String> {
    module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

struct Reader<'a> {
    within: Vec<String>,
    modules: &'a BTreeMap<String, &'a String>,
    found: BTreeSet<String>,
}

impl Reader<'_> {
    /// Notes the file that a path leads into, if it is one of this crate's.
    fn note(&mut self, path: &[String]) {
        let mut path = path.iter().map(String::as_str).peekable();
        let mut from = self.within.clone();
        match path.peek() {
            Some(&"crate") => from.clear(),
            Some(&"self") => {}
            Some(&"super") => {
                while path.next_if_eq(&"super").is_some() {
                    from.pop();
                }
            }
            // a child of this module, or a crate
            Some(first) if !self.modules.contains_key(&join(&from, first)) => return,
            _ => {}
        }
        let _ = path.next_if(|first| ["crate", "self"].contains(first));
        for part in path {
            let deeper = join(&from, part);
            if !self.modules.contains_key(&deeper) {
                break;
            }
            from.push(part.to_owned());
        }
        let module = from.join("::");
        // what is at the root of a crate is its list of modules
        if !module.is_empty() && self.modules.contains_key(&module) {
            self.found.insert(module);
        }
    }

    fn note_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.note(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.note(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(before, tree)),
        }
    }
}

fn join(from: &[String], part: &str) -> String {
    let mut joined = from.join("::");
    if !joined.is_empty() {
        joined.push_str("::");
    }
    joined + part
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let is_test = module.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
        });
        if !is_test && module.content.is_some() {
            self.within.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.within.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.note_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let parts: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }
}

#[test]
fn every_kind_of_circle_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(path, text)| (folder.path().join(path), (*text).to_owned())).collect();
        let imports = Imports::of(&files, folder.path());
        imports
            .circles()
            .into_iter()
            .map(|circle| circle.into_iter().map(str::to_owned).collect())
            .collect::<Vec<Vec<_>>>()
    };
    let none: Vec<Vec<String>> = vec![];
    let tests = "#[cfg(test)] mod tests { use crate::b::B; }";
    assert_eq!(circles(&[("lib.rs", "mod a; mod b;"), ("a.rs", tests), ("b.rs", "use crate::a::A;")]), none);
    for back in ["use crate::b::B;", "use super::b;", "fn f() { crate::b::g() }", "use crate::{b::{B}, std};"] {
        assert_eq!(circles(&[("a.rs", back), ("b.rs", "use crate::a::{A, C as D};")]), [["a", "b"]], "{back}");
    }
    // a room that imports its own parts, one of which leans on it
    assert_eq!(circles(&[("r/mod.rs", "mod p; use p::P;"), ("r/p.rs", "use super::Q;")]), [["r", "r::p"]]);
    assert_eq!(circles(&[("r/mod.rs", "mod p; use p::P;"), ("r/p.rs", "use super::s::Q;"), ("r/s.rs", "")]), none);
    let round = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")];
    assert_eq!(circles(&round), [["a", "b", "c"]]);
}
