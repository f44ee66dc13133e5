//! Handles `/record`, `/record/start` and `/record/stop` of the control endpoint.

use std::{future::ready, path::Path, sync::Arc};

use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::timeout;

use super::http::{Answer, Ask, Reply, text, typed};
use crate::record::{DEFAULT_MAX_BYTES, Existing, OPEN_LIMIT, RecordConfig, RecordControl, Refusal};

/// Answers a request about recordings.
pub(crate) fn answer(control: &Arc<RecordControl>, ask: &Ask<'_>) -> Reply {
    match (ask.method, ask.path) {
        (&Method::POST, "/record/start") => {
            let (query, is_private) = (ask.query.unwrap_or_default().to_owned(), ask.is_private);
            Box::pin(start(Arc::clone(control), query, is_private))
        }
        _ => Box::pin(ready(answer_at_once(control, ask))),
    }
}

fn answer_at_once(control: &RecordControl, ask: &Ask<'_>) -> Answer {
    match (ask.method, ask.path) {
        (&Method::GET, "/record") => status(control),
        (_, "/record") => text(StatusCode::METHOD_NOT_ALLOWED, "only GET; POST /record/start?file= and /record/stop\n"),
        (&Method::POST, _) => match control.stop() {
            Ok(file) => text(
                StatusCode::ACCEPTED,
                format!("stopping: {} is complete once GET /record says so\n", file.display()),
            ),
            Err(refusal) => refuse(&refusal),
        },
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
    }
}

fn status(control: &RecordControl) -> Answer {
    let status = match control.status() {
        None => json!({ "state": "off" }),
        Some(status) => json!({
            "state": status.state,
            "file": status.file.to_string_lossy(),
            "packets": status.figures.packets,
            "bytes": status.figures.bytes,
            "missing_packets": status.figures.missing,
        }),
    };
    typed(StatusCode::OK, "application/json", format!("{status}\n"))
}

async fn start(control: Arc<RecordControl>, query: String, is_private: bool) -> Answer {
    let Some(directory) = control.directory() else {
        return text(StatusCode::FORBIDDEN, "RECORD_DIRECTORY is off: this relay records at start only\n");
    };
    let record = match read(directory, &query) {
        Ok(record) => record,
        Err(problem) => return text(StatusCode::BAD_REQUEST, format!("{problem}\n")),
    };
    if !is_private {
        // Any user of this machine can connect to a TCP address.
        if record.with_secret {
            return text(
                StatusCode::FORBIDDEN,
                "secret=true only at a Unix socket, which no other user of this machine can connect to: CONTROL_ENDPOINT=unix:PATH\n",
            );
        }
        if record.max_bytes > DEFAULT_MAX_BYTES {
            return text(
                StatusCode::FORBIDDEN,
                format!(
                    "max_bytes is at most {DEFAULT_MAX_BYTES}, except at a Unix socket: CONTROL_ENDPOINT=unix:PATH\n"
                ),
            );
        }
    }
    let file = record.file.display().to_string();
    let with_secret = record.with_secret;
    // The start goes on if the client disconnects.
    let started = tokio::spawn(async move { control.start(&record).await });
    match timeout(OPEN_LIMIT, started).await {
        Err(_) => text(
            StatusCode::GATEWAY_TIMEOUT,
            format!("{file} does not open: its file system does not answer; GET /record says when it does\n"),
        ),
        Ok(Err(_)) => text(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug; the log says where\n"),
        Ok(Ok(Ok(()))) => {
            let warning = match with_secret {
                true => "; it holds the secret: whoever reads it can use this relay",
                false => "; only the relay's user can read it, since it holds the keys of users that have allocations",
            };
            text(StatusCode::OK, format!("recording to {file}{warning}\n"))
        }
        Ok(Ok(Err(refusal))) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Answer {
    let status = match refusal {
        Refusal::NotServing => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Recording(_) | Refusal::Starting(_) | Refusal::NotRecording | Refusal::Exists(_) => {
            StatusCode::CONFLICT
        }
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    text(status, format!("{refusal}\n"))
}

/// Parses `query`. An unknown parameter is an error: a misspelt limit must not mean no limit.
fn read(directory: &Path, query: &str) -> Result<RecordConfig, String> {
    let mut file = None;
    let mut record = RecordConfig {
        file: directory.to_owned(),
        with_secret: false,
        payload_bytes: None,
        max_bytes: DEFAULT_MAX_BYTES,
        max_packets: None,
        existing: Existing::Keep,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| format!("{name} is not UTF-8"))?;
        let wrong = |wanted: &str| format!("{name} is {value:?}: give {wanted}");
        let above_zero = || {
            let number = value.parse::<u64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| wrong("a number above zero, such as 1000000"))
        };
        match name {
            "file" => file = Some(value.clone()),
            "secret" => record.with_secret = value.parse().map_err(|_| wrong("true or false"))?,
            "payload_bytes" => {
                record.payload_bytes = Some(value.parse().map_err(|_| wrong("a number of bytes, such as 64"))?);
            }
            "max_bytes" => record.max_bytes = above_zero()?,
            "max_packets" => record.max_packets = Some(above_zero()?),
            _ => {
                return Err(format!(
                    "{name:?} is unknown: there are file, secret, payload_bytes, max_bytes and max_packets"
                ));
            }
        }
    }
    let file = file.ok_or("say where: POST /record/start?file=relay.pcapng")?;
    // The client may be another user of this machine, who must not choose where this process writes.
    if !is_plain(&file) {
        return Err(format!(
            "file is {file:?}: give the plain name of a new file in {}, of letters, digits, '-', '_' and '.'",
            directory.display()
        ));
    }
    record.file.push(&*file);
    Ok(record)
}

fn is_plain(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=200).contains(&name.len()) && !name.starts_with(['.', '-']) && name.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_options_bounds() {
        let read = |query| read(Path::new("/traces"), query);
        let plain = read("file=a.pcapng").unwrap();
        let expected = RecordConfig {
            file: "/traces/a.pcapng".into(),
            with_secret: false,
            payload_bytes: None,
            max_bytes: 1 << 30,
            max_packets: None,
            existing: Existing::Keep,
        };
        assert_eq!(plain, expected);
        let all = read("max_packets=7&file=%61&secret=true&payload_bytes=0&max_bytes=9").unwrap();
        let expected = RecordConfig {
            file: "/traces/a".into(),
            with_secret: true,
            payload_bytes: Some(0),
            max_bytes: 9,
            max_packets: Some(7),
            existing: Existing::Keep,
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (query, said) in [
            ("", "say where"),
            ("file=", "file is"),
            ("file=../a", "plain name"),
            ("file=%2Fetc%2Fpasswd", "plain name"),
            ("file=.bashrc", "plain name"),
            ("file=a%00", "plain name"),
            ("file=%ff", "not UTF-8"),
            ("file=a&secret=yes", "secret is \"yes\""),
            ("file=a&secret", "secret is \"\""),
            ("file=a&payload_bytes=-1", "payload_bytes is"),
            ("file=a&max_bytes=0", "max_bytes is"),
            ("file=a&max_packets=many", "max_packets is"),
            ("file=a&maxbytes=1", "\"maxbytes\" is unknown"),
        ] {
            let problem = read(Path::new("/traces"), query).unwrap_err();
            assert!(problem.contains(said), "{query}: {problem}");
        }
    }
}
