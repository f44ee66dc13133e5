//! `cargo xtask bench plot`: a picture of what `cargo xtask bench e2e --only kernel` has measured.

mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::svg::{Bar, Chart, Group};
use crate::workspace;

/// Draw the CPU time per packet that `cargo xtask bench e2e --only kernel` has measured.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the benchmark has written; repeat it for the medians and ranges of several runs [default: bench/e2e.json in the target folder]
    #[arg(long, value_name = "FILE")]
    json: Vec<PathBuf>,
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
    let default = [workspace::target().join("bench/e2e.json")];
    let files = if args.json.is_empty() { &default[..] } else { &args.json };
    let runs = files.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    let path = args.svg.clone().unwrap_or_else(|| workspace::root().join("docs/kernel-path.svg"));
    fs::write(&path, draw(&runs)?).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written to {}", path.display());
    Ok(())
}

fn read(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file);
    let text =
        text.with_context(|| format!("cannot read {}: `cargo xtask bench e2e --only kernel`", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is broken", file.display()))
}

/// What was measured of one case and one server, one value for each run that nothing disturbed.
struct Measured {
    case: String,
    server: usize,
    values: Vec<f64>,
}

/// The picture of what was measured in these runs.
fn draw(runs: &[Value]) -> Result<String> {
    let mut all: Vec<Measured> = Vec::new();
    let mut disturbed: Vec<String> = Vec::new();
    for run in runs {
        let rows = run["relaying"].as_array().context("these are no results of `cargo xtask bench e2e`")?;
        for row in rows {
            let (Some(case), Some(name)) = (row["case"].as_str(), row["server"].as_str()) else { continue };
            let Some(short) = case.strip_prefix(CASES) else { continue };
            let Some(server) = SERVERS.iter().position(|(known, _)| *known == name) else { continue };
            let value = row["cpu_us_per_packet"].as_f64().with_context(|| format!("{short}, {name}: no CPU time"))?;
            let taken = taken(run, case);
            let is_clean = taken <= MOST_TAKEN;
            if !is_clean {
                let line = format!("{short}: other programs took up to {taken:.0} % of a CPU");
                if !disturbed.contains(&line) {
                    eprintln!("left out: {line}");
                    disturbed.push(line);
                }
            }
            let values = is_clean.then_some(value);
            match all.iter_mut().find(|measured| measured.case == short && measured.server == server) {
                Some(measured) => measured.values.extend(values),
                None => all.push(Measured { case: short.to_owned(), server, values: values.into_iter().collect() }),
            }
        }
    }
    ensure!(!all.is_empty(), "there are no results of `cargo xtask bench e2e --only kernel`");
    let mut groups: Vec<Group> = Vec::new();
    for Measured { case, server, mut values } in all {
        ensure!(!values.is_empty(), "{case}: no run is left: {}: measure again when they do not", disturbed.join("; "));
        values.sort_by(f64::total_cmp);
        let (name, label) = SERVERS[server];
        let middle = f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2]);
        let range = (values.len() > 1).then(|| [values[0], values[values.len() - 1]]);
        let bar = Bar { label, value: middle, range, is_ours: name.starts_with("kernel") };
        match groups.iter_mut().find(|group| group.name == case) {
            Some(group) => group.bars.push(bar),
            None => groups.push(Group { name: case, bars: vec![bar] }),
        }
    }
    let mut notes = vec![
        "Of the whole machine, interrupts included, without what sending and receiving take. Less is better."
            .to_owned(),
    ];
    if runs.len() > 1 {
        let mut note = format!("Medians of {} runs; thin lines are from the least to the most.", runs.len());
        if !disturbed.is_empty() {
            note += " Cases of a run that was disturbed are left out.";
        }
        notes.push(note);
    }
    Ok(Chart { title: "CPU time per relayed packet, microseconds", notes, groups }.to_svg())
}

/// How much of a CPU, in percent, other programs took at most while this case was measured.
fn taken(run: &Value, case: &str) -> f64 {
    let name = format!("{case}{TAKEN}");
    let figure = run["figures"].as_array().into_iter().flatten().find(|figure| figure["name"].as_str() == Some(&name));
    figure.and_then(|figure| figure["value"].as_f64()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(case: &str, server: &str, cpu: f64) -> Value {
        json!({ "case": case, "server": server, "cpu_us_per_packet": cpu })
    }

    fn run(rows: &[Value], case: &str, taken: f64) -> Value {
        json!({ "relaying": rows, "figures": [{ "name": format!("{case}{TAKEN}"), "value": taken }] })
    }

    const CASE: &str = "kernel: 200 B, 1 flow";

    #[test]
    fn what_was_measured_is_drawn() {
        let rows = [
            row("up 20k/s, 1 client", "coturn", 77.7),
            row(CASE, "no relay", 66.6),
            row(CASE, "kernel, driver", 1.234),
            row(CASE, "user space", 12.0),
        ];
        let svg = draw(&[run(&rows, CASE, 1.2)]).unwrap();
        for shown in [">200 B, 1 flow<", ">relay, in the driver<", ">1.2<", ">relay, user space<", ">12.0<"] {
            assert!(svg.contains(shown), "{shown}: {svg}");
        }
        for hidden in ["77.7", "66.6", "coturn", "Medians", "class=\"range\""] {
            assert!(!svg.contains(hidden), "{hidden}: {svg}");
        }
    }

    #[test]
    fn of_several_runs_the_median_and_the_range_are_drawn() {
        let runs = |taken: f64| {
            [(11.0, 1.0), (99.0, taken), (16.0, 1.0)]
                .map(|(value, taken)| run(&[row(CASE, "kernel, driver", value)], CASE, taken))
        };
        let svg = draw(&runs(1.0)).unwrap();
        assert!(
            svg.contains(">16.0<") && svg.contains("Medians of 3 runs") && svg.contains("class=\"range\""),
            "{svg}"
        );
        // Without the one that others disturbed.
        let svg = draw(&runs(40.0)).unwrap();
        assert!(svg.contains(">13.5<") && !svg.contains(">16.0<") && svg.contains("are left out"), "{svg}");
    }

    #[test]
    fn results_that_tell_nothing_are_refused() {
        for (results, said) in [
            (json!({}), "no results of `cargo xtask bench e2e`"),
            (json!({ "relaying": [row("up 20k/s, 1 client", "coturn", 1.0)] }), "--only kernel"),
            (run(&[row("kernel: a", "coturn", 1.0)], "kernel: a", 33.3), "up to 33 % of a CPU"),
            (json!({ "relaying": [{ "case": "kernel: a", "server": "coturn" }] }), "no CPU time"),
        ] {
            let error = draw(&[results]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
