//! The results for each fault.

use std::fmt;

use super::{super::figures::Figures, faults::Fault};
use crate::traffic::Report;

#[derive(Default)]
struct Row {
    times: u32,
    done: u64,
    during: Report,
    after: Report,
}

pub(super) struct Table {
    rows: Vec<(Fault, Row)>,
}

/// Datagrams that were lost by the relay, changed or duplicated.
const fn wrong(report: &Report) -> u64 {
    report.lost_by_server + report.corrupt + report.duplicates
}

impl Table {
    pub(super) fn new(faults: &[Fault]) -> Self {
        Self { rows: faults.iter().map(|fault| (*fault, Row::default())).collect() }
    }

    pub(super) fn add(&mut self, number: usize, done: u64, during: &Report, after: &Report) {
        if let Some((_, row)) = self.rows.get_mut(number) {
            row.times += 1;
            row.done += done;
            row.during.merge(during);
            row.after.merge(after);
        }
    }

    pub(super) fn print(&self) {
        println!(
            "{:<46}{:>6}{:>24}{:>10}{:>6}{:>10}{:>10}{:>6}",
            "fault", "times", "how much", "sent", "lost", "p99", "sent", "lost"
        );
        println!("{:<46}{:>6}{:>24}{:>10}{:>6}{:>10}{:>10}{:>6}", "", "", "", "during", "", "", "after", "");
        for (fault, row) in &self.rows {
            let p99 = row.during.latency.percentile(99.0).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
            println!(
                "{:<46}{:>6}{:>24}{:>10}{:>6}{:>10}{:>10}{:>6}",
                format!("{}{}", fault.name(), if fault.may_lose() { " *" } else { "" }),
                row.times,
                format!("{} {}", row.done, fault.unit()),
                row.during.sent,
                row.during.lost(),
                format!("{p99:.1} ms"),
                row.after.sent,
                row.after.lost()
            );
        }
        println!(
            "* may lose data: what this machine sends at full speed leaves the relay too little of it, or there is no way to it"
        );
    }

    fn sum(&self, choose: impl Fn(&Fault, &Row) -> u64) -> u64 {
        self.rows.iter().map(|(fault, row)| choose(fault, row)).sum()
    }

    /// Reports the losses in the periods that allow none.
    pub(super) fn judge(&self, figures: &mut Figures, may_lose: u64) {
        figures.tell("datagrams", self.sum(|_, row| row.during.sent + row.after.sent));
        let [stated, of] = [Report::lost, |report: &Report| report.sent]
            .map(|count| self.sum(|fault, row| if fault.may_lose() { count(&row.during) } else { 0 }));
        figures.tell("lost during the faults marked *", format!("{stated} of {of}"));
        let [dropped, excused] =
            [|report: &Report| report.backlog_drops, |report: &Report| report.lost() - report.lost_by_server].map(
                |count| {
                    self.sum(|fault, row| if fault.may_lose() { 0 } else { count(&row.during) } + count(&row.after))
                },
            );
        figures.tell("dropped by the kernel without them, of all programs", dropped);
        figures.tell("lost when it did, and not counted below", excused);
        let during = self.sum(|fault, row| if fault.may_lose() { 0 } else { wrong(&row.during) });
        let goal = format!("{may_lose} at most");
        figures.expect("lost, changed or doubled during the others", during, &goal, during <= may_lose);
        let after = self.sum(|_, row| wrong(&row.after));
        figures.expect("lost, changed or doubled between faults", after, "0", after == 0);
        let none = self.rows.iter().filter(|(_, row)| row.done == 0).map(|(fault, _)| fault.name());
        let none = none.collect::<Vec<_>>().join(", ");
        figures.expect(
            "faults that did not happen",
            if none.is_empty() { "none" } else { &none },
            "none",
            none.is_empty(),
        );
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.sum(|_, row| row.during.sent + row.after.sent);
        let (during, after) = (self.sum(|_, row| wrong(&row.during)), self.sum(|_, row| wrong(&row.after)));
        write!(f, "{sent} datagrams, {during} lost during faults, {after} between them")
    }
}
