//! `dev-portal`: see `cargo xtask portal --help`.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Parser;
use dev_portal::{DevPortal, draw_token};
use tokio::{runtime::Builder, signal::ctrl_c};

/// A portal for development: registers relays, shows them on a page, mints credentials for them.
#[derive(Parser)]
#[command(name = "cargo xtask portal --", max_term_width = 110)]
struct Options {
    /// Where to listen. Whoever can connect there can mint credentials.
    #[arg(long, env = "DEV_PORTAL_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,

    /// The token that relays must have [default: drawn, and printed]
    #[arg(long, env = "FIREZONE_TOKEN", value_name = "TOKEN", hide_env_values = true, value_parser = token)]
    token: Option<String>,
}

/// It is printed as part of a shell command, and travels in a header.
fn token(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("give letters, digits, '-', '_' and '.' only")
    }
}

fn main() -> anyhow::Result<()> {
    let Options { listen, token } = Options::parse();
    let token = token.map_or_else(draw_token, Ok).context("the operating system gives no random numbers")?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let portal = DevPortal::bind(listen, token.as_str()).await.with_context(|| {
            format!("cannot listen on {listen}: stop what holds the port, or choose another with --listen")
        })?;
        println!("{}", introduction(portal.local_addr()?, &token));
        tokio::select! {
            never = portal.run() => match never {},
            ended = ctrl_c() => ended.context("cannot catch Ctrl-C"),
        }
    })
}

fn introduction(at: SocketAddr, token: &str) -> String {
    format!(
        "The development portal is at http://{at} (open it in a browser); Ctrl-C ends it.\n\n\
         Register a relay with it, in another terminal:\n  \
         FIREZONE_TOKEN={token} FIREZONE_API_URL=ws://{at} PUBLIC_IP4_ADDR=127.0.0.1 cargo run --release --bin firezone-relay\n\n\
         Mint credentials for it:\n  \
         curl http://{at}/credentials\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{introduction, token};

    #[test]
    fn the_two_commands_are_ready_to_paste() {
        let text = introduction(([127, 0, 0, 1], 8081).into(), "abc");
        assert!(text.contains(
            "\n  FIREZONE_TOKEN=abc FIREZONE_API_URL=ws://127.0.0.1:8081 PUBLIC_IP4_ADDR=127.0.0.1 cargo run"
        ));
        assert!(text.contains("\n  curl http://127.0.0.1:8081/credentials\n"));
    }

    #[test]
    fn a_token_needs_no_quotes() {
        assert!(token("SFMyNTY.g2g-_").is_ok());
        for text in ["", "a b", "a'b", "$(x)", "é"] {
            assert!(token(text).is_err(), "{text}");
        }
    }
}
