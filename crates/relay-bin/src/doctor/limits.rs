//! Checks the number of cores and the limit on open files.

use super::{
    needs::Needs,
    report::{Report, Status},
    system::System,
};

/// Open files other than relay sockets: listeners, connections, recordings, BPF maps.
const OTHER_FILES: u64 = 512;

pub(super) fn examine(system: &System, needs: &Needs, report: &mut Report) {
    let cores = needs.workers.get();
    report.good("workers", format!("{cores}, one for each core unless told otherwise"));

    let wanted = u64::from(needs.ports.len()) * needs.families as u64 + OTHER_FILES;
    let limits = system.line("proc/self/limits", "Max open files").unwrap_or_default();
    let mut numbers = limits.split_whitespace().map(|number| number.parse().unwrap_or(u64::MAX));
    match (numbers.next(), numbers.next()) {
        (Some(_), Some(hard)) if hard >= wanted => report.good("open files", format!("{hard} at most, {wanted} needed")),
        (Some(_), Some(hard)) => report.add(
            "open files",
            Status::Improve,
            format!("{hard} at most: about {} allocations, of {} ports", room(hard, needs), needs.ports.len()),
            format!("allow {wanted}: `LimitNOFILE={wanted}` in systemd, `--ulimit nofile={wanted}` in Docker, `ulimit -Hn {wanted}` in a shell"),
        ),
        _ => report.add("open files", Status::Note, "/proc/self/limits does not say", "nothing, if /proc is hidden on purpose"),
    }
}

fn room(files: u64, needs: &Needs) -> u64 {
    files.saturating_sub(OTHER_FILES) / (needs.families as u64).max(1)
}
