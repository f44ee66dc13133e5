//! Writes a report as text and as JSON.

use std::fmt::Write as _;

use relay_replay::{CaptureReport, ClientReport, Problem, ProblemKind, Report, Status, Summary, Tally};

use super::printable;

/// How many peers a line names.
const NAMED_PEERS: usize = 4;

/// `report` as JSON, which docs/traces.md describes.
pub(super) fn json(report: &Report) -> String {
    printable::json(&serde_json::json!(report).to_string())
}

/// `report` as text: a paragraph for each listed client, then the totals.
pub(super) fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for client in &report.clients {
        paragraph(client, &mut lines);
        lines.push(String::new());
    }
    lines.push(sum(&report.summary));
    lines.push(capture(&report.capture));
    lines.extend(report.capture.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(report.capture.error.iter().map(|error| format!("note: {error}")));
    let lines: Vec<_> = lines.iter().map(|line| printable::text(line)).collect();
    lines.join("\n")
}

fn paragraph(client: &ClientReport, lines: &mut Vec<String>) {
    let mark = match client.status {
        Status::Succeeded => "ok     ",
        Status::Partly => "IN PART",
        Status::Failed => "FAILED ",
        Status::Undecided => "open   ",
    };
    let mut head = format!("{mark}  {} at the server {}", client.client, client.server);
    if let Some(username) = &client.username {
        let _ = write!(head, ", user \"{username}\"");
    }
    if let Some(software) = &client.software {
        let _ = write!(head, ", server software \"{software}\"");
    }
    lines.push(head);
    lines.push(format!("  {}", course(client)));
    let mut problems = client.problems.iter().peekable();
    while let Some(problem) = problems.next() {
        lines.push(format!("  {}", event(problem)));
        let is_said_again = |next: &&Problem| {
            (&next.title, &next.text, &next.advice) == (&problem.title, &problem.text, &problem.advice)
        };
        if problems.peek().is_some_and(is_said_again) {
            continue;
        }
        lines.push(format!("      {}. {}", problem.title, problem.text));
        lines.extend(problem.advice.iter().map(|advice| format!("      -> {advice}")));
        lines.extend(problem.link.iter().map(|link| format!("      {link}")));
    }
    if client.more_problems > 0 {
        lines.push(format!("  and {} more that are not listed", client.more_problems));
    }
    let has_exchanged = client.packets_to_peers > 0 && client.packets_from_peers > 0;
    match client.status {
        Status::Partly if has_exchanged => lines.push(
            "  It exchanged data with a peer all the same. Clients that use ICE try every address of a peer, so some of them may fail without harm."
                .to_owned(),
        ),
        Status::Undecided => lines.push("  The capture ends before the server had time to answer.".to_owned()),
        Status::Succeeded | Status::Partly | Status::Failed => {}
    }
}

/// The requests of a client, their outcomes, and its data.
fn course(client: &ClientReport) -> String {
    let mut parts: Vec<_> =
        client.requests.iter().map(|(method, tally)| format!("{method}: {}", in_words(tally))).collect();
    if !client.relayed.is_empty() {
        let relayed: Vec<_> = client.relayed.iter().take(NAMED_PEERS).map(ToString::to_string).collect();
        parts.push(format!("relayed at {}", relayed.join(", ")));
    }
    if client.packets_to_peers + client.packets_from_peers > 0 {
        parts.push(format!(
            "data: {} to peers, {} from peers",
            count(client.packets_to_peers, "packet"),
            client.packets_from_peers
        ));
    }
    parts.join("; ")
}

fn in_words(tally: &Tally) -> String {
    let mut text = count(tally.requests, "request");
    if tally.copies > 0 {
        let _ = write!(text, " (and {} sent again)", tally.copies);
    }
    for (number, what) in [
        (tally.succeeded, "granted"),
        (tally.challenged, "challenged"),
        (tally.refused, "refused"),
        (tally.unanswered, "without an answer"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

/// One line: what failed, when, and how often.
fn event(problem: &Problem) -> String {
    let mut text = format!("{}, packet {}: {}", offset(problem.seconds), problem.packet, problem.what);
    if !problem.peers.is_empty() {
        let peers = problem.peers.iter().take(NAMED_PEERS);
        // A permission is for an address, and clients may leave the port out.
        let peers: Vec<_> =
            peers.map(|peer| if peer.port() == 0 { peer.ip().to_string() } else { peer.to_string() }).collect();
        let _ = write!(text, " for {}", peers.join(", "));
        let more = problem.peers.len().saturating_sub(NAMED_PEERS);
        if more > 0 {
            let _ = write!(text, " and {more} more");
        }
    }
    text.push_str(match problem.kind {
        ProblemKind::Refused => ": refused",
        ProblemKind::Challenged => ": challenged",
        ProblemKind::Unanswered => ": no answer",
        ProblemKind::AnswerLost => ": answered, and sent again",
        ProblemKind::AnsweredElsewhere => ": answered from elsewhere",
        ProblemKind::Dropped | ProblemKind::OverLimit => ": dropped",
        ProblemKind::Expired => ": sent too late",
        ProblemKind::Ended => ": ended by the server",
        ProblemKind::Icmp => ": an ICMP error came back",
    });
    if let Some(code) = problem.code {
        let _ = write!(text, " with {code}");
    }
    if let Some(reason) = &problem.reason {
        let _ = write!(text, " \"{reason}\"");
    }
    if problem.count > 1 {
        let verb = if problem.kind == ProblemKind::Unanswered { "sent " } else { "" };
        let _ = write!(text, ", {verb}{} times until {}", problem.count, offset(problem.until));
    }
    text
}

fn sum(summary: &Summary) -> String {
    if summary.clients == 0 {
        return "no client of a STUN or TURN server is in the capture".to_owned();
    }
    let mut text = format!("{}: {} succeeded", count(summary.clients, "client"), summary.succeeded);
    for (number, what) in
        [(summary.partly, "succeeded in part"), (summary.failed, "failed"), (summary.undecided, "open at the end")]
    {
        if number > 0 || what == "failed" {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text
}

fn capture(capture: &CaptureReport) -> String {
    if capture.packets == 0 {
        return "the capture holds no packets".to_owned();
    }
    let mut text = format!("{} in {:.3} s", count(capture.packets, "packet"), capture.seconds);
    if capture.mode == "replay" {
        text.push_str(", replayed as this relay recorded them");
    }
    if capture.connectivity_checks > 0 {
        let _ = write!(text, "; {} connectivity checks between peers left out", capture.connectivity_checks);
    }
    let skipped: Vec<_> =
        capture.skipped.iter().map(|skipped| format!("{} {}", skipped.packets, skipped.what)).collect();
    if !skipped.is_empty() {
        let _ = write!(text, "; not read: {}", skipped.join(", "));
    }
    text
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The time since the first packet.
fn offset(seconds: f64) -> String {
    format!("{seconds:+.3} s")
}
