use std::env::consts::{ARCH, OS};

use http::HeaderValue;

/// The relay's `User-Agent`, with operating system, `version` of the relay, kernel and architecture, such as
/// `debian/12 relay/0.1.0 (linux 6.1.0; x86_64)`.
pub(crate) fn user_agent(version: &str) -> HeaderValue {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let agent = compose(&release, kernel.trim(), version);
    HeaderValue::from_str(&agent).unwrap_or(HeaderValue::from_static("relay"))
}

fn compose(os_release: &str, kernel: &str, version: &str) -> String {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(product(value.trim_matches(['"', '\''])))
    };
    let system = field("ID").unwrap_or_else(|| OS.to_owned());
    let system_version = field("VERSION_ID").unwrap_or_else(|| "unknown".to_owned());
    format!("{system}/{system_version} relay/{} ({OS} {}; {ARCH})", product(version), product(kernel))
}

/// Keeps the characters that are allowed in a product token, <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2>.
fn product(text: &str) -> String {
    text.chars().filter(|char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*char)).collect()
}

#[cfg(test)]
mod tests {
    use std::env::consts::{ARCH, OS};

    use super::{compose, user_agent};

    #[test]
    fn it_names_system_relay_and_version() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(compose(release, "6.1.0-13", "1.2.3"), format!("debian/12 relay/1.2.3 ({OS} 6.1.0-13; {ARCH})"));
    }

    #[test]
    fn a_system_without_a_name_is_called_by_its_kernel() {
        assert_eq!(compose("", "", "1.2.3"), format!("{OS}/unknown relay/1.2.3 ({OS} ; {ARCH})"));
    }

    #[test]
    fn nothing_can_break_out_of_the_header() {
        assert!(compose("ID=\"a\r b/(é)\"\n", "\n", "1").starts_with("ab/unknown relay/1 ("));
        assert!(user_agent("1.2.3").to_str().unwrap().contains(" relay/1.2.3 ("));
    }
}
