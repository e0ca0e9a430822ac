//! What `cargo metadata` says, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::stage;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: BTreeSet<String>,
    pub(crate) resolve: Resolve,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `[package.metadata]` of the manifest.
    #[serde(default)]
    pub(crate) metadata: serde_json::Value,
}

/// A dependency as the manifest declares it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` is a normal dependency; otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
    pub(crate) rename: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Resolve {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<NodeDep>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeDep {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DepKind {
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo; fails when `Cargo.lock` is not up to date.
    ///
    /// `cargo metadata` also lists optional packages that no enabled feature brings in; `cargo tree` does not, so
    /// what it does not show is left out.
    pub(crate) fn load() -> Result<Self, String> {
        let text = stage::output(&mut stage::cargo(&["metadata", "--format-version=1", "--locked"]))?;
        let mut metadata: Metadata =
            serde_json::from_str(&text).map_err(|error| format!("cannot read cargo metadata: {error}"))?;
        let tree = stage::output(&mut stage::cargo(&[
            "tree",
            "--locked",
            "--workspace",
            "--target=all",
            "--edges=all",
            "--prefix=none",
            "--format={p}",
        ]))?;
        metadata.retain_only(&tree);
        Ok(metadata)
    }

    /// Keeps the packages that stand in a listing with lines like `name v1.2.3 (proc-macro)`.
    fn retain_only(&mut self, tree: &str) {
        let used: BTreeSet<(&str, &str)> = tree
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.split_once(" v")?;
                Some((name, rest.split(' ').next()?))
            })
            .collect();
        self.packages.retain(|package| used.contains(&(package.name.as_str(), package.version.as_str())));
        let kept: BTreeSet<&str> = self.packages.iter().map(|package| package.id.as_str()).collect();
        self.resolve.nodes.retain(|node| kept.contains(node.id.as_str()));
        for node in &mut self.resolve.nodes {
            node.deps.retain(|dep| kept.contains(dep.pkg.as_str()));
        }
    }

    /// The packages of this repository.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Every package that `id` reaches through normal dependencies, each with the names on the way to it.
    pub(crate) fn normal_tree(&self, id: &str) -> BTreeMap<String, Vec<String>> {
        let nodes: BTreeMap<&str, &Node> =
            self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut ways = BTreeMap::from([(id.to_owned(), vec![self.name_of(id).to_owned()])]);
        let mut todo = vec![id.to_owned()];
        while let Some(id) = todo.pop() {
            let way = ways[&id].clone();
            let deps = nodes.get(id.as_str()).map_or(&[][..], |node| &node.deps);
            for dep in deps {
                let normal = dep.dep_kinds.iter().any(|kind| kind.kind.is_none());
                if !normal || ways.contains_key(&dep.pkg) {
                    continue;
                }
                let mut further = way.clone();
                further.push(self.name_of(&dep.pkg).to_owned());
                ways.insert(dep.pkg.clone(), further);
                todo.push(dep.pkg.clone());
            }
        }
        ways.remove(id);
        ways
    }

    pub(crate) fn name_of<'a>(&'a self, id: &'a str) -> &'a str {
        let package = self.packages.iter().find(|package| package.id == id);
        package.map_or(id, |package| package.name.as_str())
    }
}

/// Metadata made by hand, to show that each check can fail.
#[cfg(test)]
pub(crate) mod synthetic {
    use super::*;

    /// A package of the workspace; the id is its name.
    pub(crate) fn member(name: &str) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: Some("MIT".to_owned()),
            rust_version: Some("1.89".to_owned()),
            source: None,
            manifest_path: PathBuf::from(format!("crates/{name}/Cargo.toml")),
            dependencies: Vec::new(),
            metadata: serde_json::Value::Null,
        }
    }

    /// A package from the registry.
    pub(crate) fn foreign(name: &str) -> Package {
        Package { source: Some(format!("{}crates.io-index", "registry+https://somewhere/")), ..member(name) }
    }

    /// A workspace of these packages with these edges: (from, to, kind).
    pub(crate) fn workspace(packages: Vec<Package>, edges: &[(&str, &str, Option<&str>)]) -> Metadata {
        let mut packages = packages;
        for package in &mut packages {
            let from_here = edges.iter().filter(|(from, ..)| *from == package.name);
            package.dependencies = from_here
                .map(|(_, to, kind)| Dependency {
                    name: (*to).to_owned(),
                    kind: kind.map(str::to_owned),
                    rename: None,
                })
                .collect();
        }
        let nodes = packages.iter().map(|package| Node {
            id: package.id.clone(),
            deps: package
                .dependencies
                .iter()
                .map(|dependency| NodeDep {
                    pkg: dependency.name.clone(),
                    dep_kinds: vec![DepKind { kind: dependency.kind.clone() }],
                })
                .collect(),
        });
        Metadata {
            resolve: Resolve { nodes: nodes.collect() },
            workspace_members: packages
                .iter()
                .filter(|package| package.source.is_none())
                .map(|package| package.id.clone())
                .collect(),
            packages,
            target_directory: PathBuf::from("target"),
        }
    }

    #[test]
    fn a_package_that_no_feature_brings_in_is_left_out() {
        let mut metadata =
            workspace(vec![member("a"), foreign("b"), foreign("c")], &[("a", "b", None), ("a", "c", None)]);
        metadata.retain_only("a v0.1.0 (somewhere)\n\nb v0.1.0 (*)\nc v0.2.0\n[dev-dependencies]\n");
        let names: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(metadata.normal_tree("a").len(), 1);
    }

    #[test]
    fn the_tree_follows_normal_dependencies_only_and_names_the_way() {
        let metadata = workspace(
            vec![member("a"), foreign("b"), foreign("c"), foreign("d")],
            &[("a", "b", None), ("b", "c", None), ("a", "d", Some("dev"))],
        );
        let tree = metadata.normal_tree("a");
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(tree["c"], ["a", "b", "c"]);
    }
}
