//! Checks that each crate of the workspace that has features builds without a warning with every combination of them.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::{self, cargo, run};

/// # Errors
///
/// When a combination does not build, or has a warning.
pub(crate) fn check() -> Result<()> {
    let metadata = command::output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]));
    let metadata = metadata.context("cargo metadata failed")?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed something else than JSON")?;
    for (package, features) in with_features(&metadata) {
        for combination in combinations(&features) {
            let mut clippy = cargo();
            clippy.args(["clippy", "--package", &package, "--lib", "--bins", "--no-default-features"]);
            run(clippy.args(["--features", &combination.join(","), "--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// The packages that have features, and these.
fn with_features(metadata: &Value) -> Vec<(String, Vec<String>)> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let package = |package: &Value| {
        let names = package["features"].as_object()?.keys().filter(|name| *name != "default");
        let features: Vec<_> = names.cloned().collect();
        let name = package["name"].as_str()?.to_owned();
        (!features.is_empty()).then_some((name, features))
    };
    packages.filter_map(package).collect()
}

/// Every subset of `features`.
fn combinations(features: &[String]) -> Vec<Vec<&str>> {
    let mut all = vec![Vec::new()];
    for feature in features {
        let with: Vec<_> = all.iter().map(|some| [some.as_slice(), &[feature.as_str()]].concat()).collect();
        all.extend(with);
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_combination_is_there_once() {
        let features = ["a", "b"].map(str::to_owned);
        assert_eq!(combinations(&features), [vec![], vec!["a"], vec!["b"], vec!["a", "b"]]);
    }

    #[test]
    fn only_packages_with_features_count() {
        let metadata = json!({ "packages": [
            { "name": "plain", "features": {} },
            { "name": "rich", "features": { "default": ["a"], "a": [] } },
        ] });
        assert_eq!(with_features(&metadata), [("rich".to_owned(), vec!["a".to_owned()])]);
    }
}
