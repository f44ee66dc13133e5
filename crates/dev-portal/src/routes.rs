use std::{convert::Infallible, net::IpAddr, sync::Arc};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, UPGRADE, USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use crate::{channel, clock::unix_time, credentials, registry::Announcement, shared::Shared};

const PAGE: &str = include_str!("page.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'";

/// The largest message of a relay, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// The portal takes this port when a relay does not tell its own.
const DEFAULT_PORT: u16 = 3478;

type Answer = Response<Full<Bytes>>;

pub(crate) async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    if path == "/relay/websocket" {
        return Ok(websocket(shared, request).unwrap_or_else(|(status, why)| text(status, &why)));
    }
    if !names_this_machine(request.headers()) {
        // Another site could have made its name point here, and would get the credentials.
        return Ok(text(StatusCode::FORBIDDEN, "open the portal by its address, or as localhost\n"));
    }
    Ok(match (request.method(), path) {
        (&Method::GET, "/") => {
            let mut page = typed(StatusCode::OK, "text/html; charset=utf-8", PAGE);
            page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            page
        }
        (&Method::GET, "/relays") => json(&shared.registry.relays()),
        (&Method::GET, "/credentials") => match credentials::mint(&shared.registry.relays(), unix_time()) {
            Ok(configuration) => json(&configuration),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("no randomness: {error}\n")),
        },
        (_, "/" | "/relays" | "/credentials") => text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /, /relays, /credentials and /relay/websocket\n"),
    })
}

/// Upgrades to a WebSocket, or says why not.
fn websocket(shared: Arc<Shared>, mut request: Request<Incoming>) -> Result<Answer, (StatusCode, String)> {
    let expected = format!("Bearer {}", shared.token);
    if header(request.headers(), "x-authorization") != Some(&expected) {
        return Err((StatusCode::UNAUTHORIZED, "invalid token\n".to_owned()));
    }
    let announcement = announcement(&request).map_err(|problem| (StatusCode::BAD_REQUEST, problem))?;
    let is_upgrade = header(request.headers(), UPGRADE.as_str()).is_some_and(|to| to.eq_ignore_ascii_case("websocket"));
    let key = request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade);
    let key = key.ok_or_else(|| (StatusCode::UPGRADE_REQUIRED, "this is for relays, by WebSocket\n".to_owned()))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;

    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // The relay has hung up instead.
        let Ok(upgraded) = upgraded.await else { return };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MAX_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        channel::serve(stream, shared.next_connection(), announcement, &shared.registry).await;
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Reads what the relay says of itself.
fn announcement<B>(request: &Request<B>) -> Result<Announcement, String> {
    let value = |name: &str| {
        let mut pairs = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
    };
    let problem = |name: &str| format!("{name} does not parse\n");
    let ipv4 = value("ipv4").map(|text| text.parse()).transpose().map_err(|_invalid| problem("ipv4"))?;
    let ipv6 = value("ipv6").map(|text| text.parse()).transpose().map_err(|_invalid| problem("ipv6"))?;
    let port = value("port").map(|text| text.parse()).transpose().map_err(|_invalid| problem("port"))?;
    if ipv4.is_none() && ipv6.is_none() {
        return Err("one of ipv4 and ipv6 is needed\n".to_owned());
    }
    let user_agent = header(request.headers(), USER_AGENT.as_str()).unwrap_or_default().to_owned();
    Ok(Announcement { name: value("name"), ipv4, ipv6, port: port.unwrap_or(DEFAULT_PORT), user_agent })
}

/// Whether the browser was told to go to an address or to `localhost`.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = header(headers, HOST.as_str()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(value) {
        Ok(body) => typed(StatusCode::OK, "application/json", &(body + "\n")),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn text(status: StatusCode, body: &str) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, content_type: &'static str, body: &str) -> Answer {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, Request, header::HOST};

    use super::{announcement, names_this_machine};

    #[test]
    fn announcements_are_decoded() {
        let request = Request::builder()
            .uri("/relay/websocket?name=Z%C3%BCrich%20%26+co&ipv4=203.0.113.7&ipv6=2001%3Adb8%3A%3A7&port=3479")
            .header("User-Agent", "debian/12 relay/1.0.0")
            .body(());
        let announced = announcement(&request.unwrap()).unwrap();
        assert_eq!(announced.name.as_deref(), Some("Zürich & co"));
        assert_eq!(announced.ipv4, Some([203, 0, 113, 7].into()));
        assert_eq!(announced.ipv6.map(|ip| ip.to_string()).as_deref(), Some("2001:db8::7"));
        assert_eq!((announced.port, announced.user_agent.as_str()), (3479, "debian/12 relay/1.0.0"));
    }

    #[test]
    fn a_relay_that_nobody_can_reach_is_refused() {
        for query in ["", "?port=3478", "?ipv4=here", "?ipv4=192.0.2.1&port=70000"] {
            let request = Request::builder().uri(format!("/relay/websocket{query}")).body(()).unwrap();
            assert!(announcement(&request).is_err(), "{query}");
        }
        let request = Request::builder().uri("/relay/websocket?ipv4=192.0.2.1").body(()).unwrap();
        assert_eq!(announcement(&request).unwrap().port, 3478);
    }

    #[test]
    fn only_names_that_nobody_else_controls_are_served() {
        let mut headers = HeaderMap::new();
        for (host, good) in [
            ("localhost:8081", true),
            ("127.0.0.1:8081", true),
            ("[::1]:8081", true),
            ("[::1]", true),
            ("evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            headers.insert(HOST, host.parse().unwrap());
            assert_eq!(names_this_machine(&headers), good, "{host}");
        }
    }
}
