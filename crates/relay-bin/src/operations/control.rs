//! The control endpoint: changes the log filter, starts and stops recordings, and answers which users relay most, which is
//! confidential.

use std::{future::ready, sync::Arc};

use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;

use super::{
    http::{Answer, Ask, Reply, text, typed},
    recording,
};
use crate::{accounting::UserTotals, logging::FilterControl, record::RecordControl};

/// How many users to list by default.
const TOP_USERS: usize = 10;

/// Answers a request to the control endpoint.
pub(crate) fn answer(filter: &FilterControl, record: &Arc<RecordControl>, users: &UserTotals, ask: &Ask<'_>) -> Reply {
    match ask.path {
        // A web page open in any browser on this machine could send this request.
        _ if ask.is_from_web_page => Box::pin(ready(text(StatusCode::FORBIDDEN, "not for web pages\n"))),
        _ if ask.is_by_name && !ask.is_private => Box::pin(ready(text(
            StatusCode::FORBIDDEN,
            "name the relay by its IP address or as localhost: a web page could have made its own name lead here\n",
        ))),
        "/record" | "/record/start" | "/record/stop" => recording::answer(record, ask),
        "/users" => top_users(users.clone(), ask),
        _ => Box::pin(ready(answer_at_once(filter, ask))),
    }
}

/// Lists the users with the most bytes.
fn top_users(users: UserTotals, ask: &Ask<'_>) -> Reply {
    if ask.method != Method::GET {
        return Box::pin(ready(text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n")));
    }
    let Some(count) = top(ask.query.unwrap_or_default()) else {
        return Box::pin(ready(text(StatusCode::BAD_REQUEST, "say how many: GET /users?top=10\n")));
    };
    Box::pin(async move {
        match users.top(count).await {
            Some(json) => typed(StatusCode::OK, "application/json", json),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the relay ends, or accounting has too much to do\n"),
        }
    })
}

/// The number in the query; `None` if it is not a number.
fn top(query: &str) -> Option<usize> {
    match query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == "top") {
        Some((_, count)) => count.parse().ok(),
        None if query.is_empty() => Some(TOP_USERS),
        None => None,
    }
}

fn answer_at_once(filter: &FilterControl, ask: &Ask<'_>) -> Answer {
    match (ask.method, ask.path) {
        (&Method::POST, "/log_filter") => match directives(ask.query.unwrap_or_default()) {
            Some(directives) => match filter.set(&directives) {
                Ok(()) => {
                    tracing::info!(directives, "the log filter was changed");
                    text(StatusCode::OK, format!("the log filter is {directives}\n"))
                }
                Err(error) => text(StatusCode::BAD_REQUEST, format!("{directives:?}: {error}\n")),
            },
            None => text(
                StatusCode::BAD_REQUEST,
                "say which: POST /log_filter?directives=info,firezone_relay::shard=debug\n",
            ),
        },
        (_, "/log_filter") => text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
        _ => text(
            StatusCode::NOT_FOUND,
            "there is POST /log_filter?directives=, POST /record/start?file=, POST /record/stop, GET /record and GET /users?top=\n",
        ),
    }
}

fn directives(query: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == "directives")?;
    let value = percent_decode_str(&value.replace('+', " ")).decode_utf8().ok()?.trim().to_owned();
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{TOP_USERS, directives, top};

    #[test]
    fn the_number_of_users_is_a_number() {
        for (query, expected) in [
            ("", Some(TOP_USERS)),
            ("top=3", Some(3)),
            ("a=b&top=0", Some(0)),
            ("top=-1", None),
            ("top=", None),
            ("n=3", None),
        ] {
            assert_eq!(top(query), expected, "{query}");
        }
    }

    #[test]
    fn directives_are_decoded() {
        for (query, expected) in [
            ("directives=debug", Some("debug")),
            ("a=b&directives=info%2Cfirezone_relay%3A%3Ashard%3Ddebug", Some("info,firezone_relay::shard=debug")),
            ("directives=info,a=debug", Some("info,a=debug")),
            ("directives=", None),
            ("directives=+%20", None),
            ("directives=%ff", None),
            ("directive=debug", None),
            ("", None),
        ] {
            assert_eq!(directives(query).as_deref(), expected, "{query}");
        }
    }
}
