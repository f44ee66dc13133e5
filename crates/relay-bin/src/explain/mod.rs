//! Which clients of a packet capture failed, and why: `firezone-relay explain`.
//!
//! `relay-replay` does the analysis. This module reads the file and writes the report.

mod printable;
mod text;

#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, anyhow};
use packet_trace::ReadError;
use relay_replay::{Diagnosis, Report, Status};

/// How many bytes of a capture are read at a time.
const PIECE: usize = 1 << 18;

/// The result for a capture.
#[derive(Debug)]
pub(crate) struct Explained {
    /// For stdout, without a final line feed; `None` if nothing of the file could be read.
    pub(crate) text: Option<String>,
    /// Why the file could not be read to its end.
    pub(crate) error: Option<anyhow::Error>,
    /// Whether a client failed, at least in part.
    pub(crate) has_failures: bool,
}

/// Explains the capture in `file`, or on stdin if `file` is `-`.
pub(crate) fn explain(file: &Path, as_json: bool, is_verbose: bool) -> Explained {
    if file == Path::new("-") {
        return explain_from(io::stdin().lock(), "stdin", as_json, is_verbose);
    }
    let name = printable::text(&file.display().to_string());
    match File::open(file) {
        Ok(opened) => explain_from(opened, &name, as_json, is_verbose),
        Err(error) => {
            let error = anyhow!(error).context(format!("cannot open {name}"));
            Explained { text: None, error: Some(error), has_failures: false }
        }
    }
}

fn explain_from(mut capture: impl Read, name: &str, as_json: bool, is_verbose: bool) -> Explained {
    let mut diagnosis = Diagnosis::new();
    let read = read(&mut capture, &mut diagnosis).with_context(|| format!("cannot read {name}"));
    let mut report = diagnosis.finish();
    let error = read.err().or_else(|| error_of(&report, name));
    let has_failures = report.summary.failed + report.summary.partly > 0;
    if !is_verbose {
        report.clients.retain(|client| client.status != Status::Succeeded);
    }
    let is_readable = report.capture.packets > 0 || error.is_none();
    let text = is_readable.then(|| if as_json { text::json(&report) } else { text::text(&report) });
    Explained { text, error, has_failures }
}

fn read(capture: &mut impl Read, diagnosis: &mut Diagnosis) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    while diagnosis.error().is_none() {
        match capture.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => diagnosis.push(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The error in the file, with advice. A truncated end is no error: files that are still being written have one.
fn error_of(report: &Report, name: &str) -> Option<anyhow::Error> {
    let error = report.error.as_ref()?;
    let has_packets = report.capture.packets > 0;
    let advice = match error {
        ReadError::Truncated { .. } if has_packets => return None,
        ReadError::Empty => "nothing was captured, or the capturing program has not written it yet: end that first",
        ReadError::Compressed(_) => "for example `gzip -dc FILE | firezone-relay explain -`",
        ReadError::Corrupt { .. } if has_packets => "what comes before is explained; copy the file again, as binary",
        ReadError::UnsupportedLinkType(_) => "capture at another interface, or at all of them: tcpdump -i any",
        _ => "give it a capture as tcpdump -w and Wireshark write them, whole and unchanged",
    };
    Some(anyhow!("{name}: {} ({advice})", printable::text(&error.to_string())))
}
