use std::time::Duration;

use http::{
    HeaderMap, HeaderName, Response,
    header::{DATE, RETRY_AFTER},
};

use crate::Failure;

/// The failure that an HTTP status other than 101 means in a WebSocket handshake.
pub(crate) fn refusal<T>(response: &Response<T>) -> Failure {
    Failure::Refused { status: response.status().as_u16(), retry_after: retry_after(response.headers()) }
}

/// Reads `Retry-After`, <https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3>, as seconds or as a date. A date is compared with the
/// response's `Date`, so that this host's clock does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let from = httpdate::parse_http_date(text(DATE)?).ok()?;
    Some(until.duration_since(from).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;

    use super::refusal;
    use crate::Failure;

    fn retry_after(headers: &[(&str, &str)]) -> Option<Duration> {
        let mut response = Response::builder().status(503);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        match refusal(&response.body(()).unwrap()) {
            Failure::Refused { status: 503, retry_after } => retry_after,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(retry_after(&[("Retry-After", "120")]), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(&[("Retry-After", " 0 ")]), Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_as_a_date_counts_from_the_answers_own_date() {
        let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            retry_after(&[date, ("Retry-After", "Sun, 06 Nov 1994 08:51:00 GMT")]),
            Some(Duration::from_secs(83))
        );
        assert_eq!(retry_after(&[date, ("Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(retry_after(&[("Retry-After", "Sun, 06 Nov 1994 08:51:00 GMT")]), None);
    }

    #[test]
    fn nonsense_is_no_retry_after() {
        for value in ["", "-1", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(retry_after(&[("Retry-After", value)]), None, "{value}");
        }
        assert_eq!(retry_after(&[]), None);
    }
}
