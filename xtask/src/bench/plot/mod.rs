//! `cargo xtask bench plot`: a picture of what `cargo xtask bench e2e --only kernel` has measured.

mod svg;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::svg::{Bar, Chart, Group};
use crate::workspace;

/// Draw the CPU time per packet that `cargo xtask bench e2e --only kernel` has measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the benchmark has written [default: bench/e2e.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to write the picture [default: docs/kernel-path.svg]
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What the cases' names begin with.
const CASES: &str = "kernel: ";

/// What the figures are called that say how much other programs took meanwhile, in percent of a CPU, and how much of it leaves the others worth
/// drawing.
const TAKEN: &str = ": other programs took, at most";
const MOST_TAKEN: f64 = 5.0;

/// Who is shown, and how: the others are for explaining.
const SERVERS: [(&str, &str); 4] = [
    ("kernel, driver", "relay, in the driver"),
    ("kernel, generic", "relay, generic XDP"),
    ("user space", "relay, user space"),
    ("coturn", "coturn"),
];

pub(crate) fn main(args: &Args) -> Result<()> {
    let json = args.json.clone().unwrap_or_else(|| workspace::target().join("bench/e2e.json"));
    let text = fs::read_to_string(&json);
    let text =
        text.with_context(|| format!("cannot read {}: `cargo xtask bench e2e --only kernel`", json.display()))?;
    let measured = serde_json::from_str(&text).with_context(|| format!("{} is broken", json.display()))?;
    let path = args.svg.clone().unwrap_or_else(|| workspace::root().join("docs/kernel-path.svg"));
    fs::write(&path, draw(&measured)?).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written to {}", path.display());
    Ok(())
}

/// The picture of what was measured.
fn draw(measured: &Value) -> Result<String> {
    let rows = measured["relaying"].as_array().context("these are no results of `cargo xtask bench e2e`")?;
    for figure in measured["figures"].as_array().into_iter().flatten() {
        let (Some(name), Some(taken)) = (figure["name"].as_str(), figure["value"].as_f64()) else { continue };
        if let Some(case) = name.strip_suffix(TAKEN) {
            ensure!(
                taken <= MOST_TAKEN,
                "{case}: other programs took up to {taken:.0} % of a CPU: measure again when they do not"
            );
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let (Some(case), Some(server)) = (row["case"].as_str(), row["server"].as_str()) else { continue };
        let Some(case) = case.strip_prefix(CASES) else { continue };
        let Some((_, label)) = SERVERS.iter().find(|(name, _)| *name == server) else { continue };
        let value = row["cpu_us_per_packet"].as_f64().with_context(|| format!("{case}, {server}: no CPU time"))?;
        let bar = Bar { label, value, is_ours: server.starts_with("kernel") };
        match groups.iter_mut().find(|group| group.name == case) {
            Some(group) => group.bars.push(bar),
            None => groups.push(Group { name: case.to_owned(), bars: vec![bar] }),
        }
    }
    ensure!(!groups.is_empty(), "there are no results of `cargo xtask bench e2e --only kernel`");
    let chart = Chart {
        title: "CPU time per relayed packet, microseconds",
        subtitle: "Of the whole machine, interrupts included, without what sending and receiving take. Less is better.",
        groups,
    };
    Ok(chart.to_svg())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(case: &str, server: &str, cpu: f64) -> Value {
        json!({ "case": case, "server": server, "cpu_us_per_packet": cpu })
    }

    #[test]
    fn what_was_measured_is_drawn() {
        let case = "kernel: 200 B, 1 flow";
        let rows = [
            row("up 20k/s, 1 client", "coturn", 77.7),
            row(case, "no relay", 66.6),
            row(case, "kernel, driver", 1.234),
            row(case, "user space", 12.0),
        ];
        let figures = [json!({ "name": format!("{case}{TAKEN}"), "value": 1.2 })];
        let svg = draw(&json!({ "relaying": rows, "figures": figures })).unwrap();
        for shown in [">200 B, 1 flow<", ">relay, in the driver<", ">1.23<", ">relay, user space<", ">12.0<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        for hidden in ["77.7", "66.6", "coturn"] {
            assert!(!svg.contains(hidden), "{hidden}: {svg}");
        }
    }

    #[test]
    fn results_that_tell_nothing_are_refused() {
        for (results, said) in [
            (json!({}), "no results of `cargo xtask bench e2e`"),
            (json!({ "relaying": [row("up 20k/s, 1 client", "coturn", 1.0)] }), "--only kernel"),
            (
                json!({ "relaying": [], "figures": [{ "name": format!("kernel: a{TAKEN}"), "value": 33.3 }] }),
                "up to 33 % of a CPU",
            ),
            (json!({ "relaying": [{ "case": "kernel: a", "server": "coturn" }] }), "no CPU time"),
        ] {
            let error = draw(&results).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
