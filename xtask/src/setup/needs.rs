//! The table of what a machine must have: one row per need.

use std::{path::Path, process::Command};

use super::{node, python};
use crate::{command, wasm, workspace};

/// What something is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Use {
    /// Building and running the relay.
    Run,
    /// `cargo fmt`.
    Fmt,
    /// `cargo clippy`.
    Clippy,
    /// Checking the licences and sources of dependencies.
    Deny,
    /// Checking that every dependency is used.
    Machete,
    /// The tests, with the outside programs that they talk to.
    Test,
    /// The tests of the no-IO crates under WebAssembly.
    Wasm,
    /// Counting instructions.
    Instructions,
    /// Checking shell scripts.
    Scripts,
    /// Checking what is in `deploy/`.
    Deploy,
    /// Building and testing the browser playground.
    Playground,
    /// Real WebRTC clients that relay through ours in the tests. A machine that cannot have one goes without, except in CI.
    Clients,
}

/// Something that a machine must have.
pub(crate) struct Need {
    /// What it is.
    pub(crate) name: &'static str,
    /// What for, in words.
    pub(crate) why: &'static str,
    /// What for.
    pub(crate) uses: &'static [Use],
    /// Whether this machine has it; fast, changes nothing.
    pub(crate) present: fn() -> bool,
    /// How to get it: the first way that works is taken.
    pub(crate) ways: &'static [Way],
}

impl Need {
    /// Whether any of `uses` needs it.
    pub(crate) fn is_for(&self, uses: &[Use]) -> bool {
        self.uses.iter().any(|one| uses.contains(one))
    }
}

/// A way to get something.
pub(crate) enum Way {
    /// `rustup <arguments>`.
    Rustup(&'static [&'static str]),
    /// Debian's packages.
    Apt(&'static [&'static str]),
    /// `cargo install <package> <arguments>`.
    Cargo {
        /// The package's name.
        package: &'static str,
        /// Its version: fixed, so that every machine has the same.
        version: fn() -> anyhow::Result<String>,
        /// Further arguments.
        arguments: &'static [&'static str],
        /// Debian's packages that its build needs; where there are none of that name, another way is taken.
        debian: &'static [&'static str],
        /// The environment of its build.
        environment: &'static [(&'static str, &'static str)],
    },
    /// A Python environment under the target folder with the packages of `crates/relay-bin/tests/requirements.txt`.
    PythonPackages,
    /// The packages of `crates/relay-bin/tests/webrtc/package.json`, beside it.
    NodePackages,
}

/// Whether the library that sets a program's wall clock is where Debian puts it.
pub(crate) fn has_libfaketime() -> bool {
    let Ok(folders) = std::fs::read_dir("/usr/lib") else { return false };
    folders.flatten().any(|folder| folder.path().join("faketime/libfaketimeMT.so.1").is_file())
}

/// Everything. A need comes after those that its installation needs.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        name: "a C compiler",
        why: "links Rust programs, and some dependencies have parts in C",
        uses: &[Use::Run, Use::Test, Use::Clippy, Use::Instructions],
        present: || command::find("cc").is_some(),
        ways: &[Way::Apt(&["build-essential"])],
    },
    Need {
        name: "valgrind",
        why: "counts instructions",
        uses: &[Use::Instructions],
        present: || command::find("valgrind").is_some(),
        ways: &[Way::Apt(&["valgrind"])],
    },
    Need {
        name: "rustfmt",
        why: "checks the layout of the source",
        uses: &[Use::Fmt],
        present: || command::succeeds(command::cargo().args(["fmt", "--version"])),
        ways: &[Way::Rustup(&["component", "add", "rustfmt"]), Way::Apt(&["rustfmt"])],
    },
    Need {
        name: "clippy",
        why: "lints the source",
        uses: &[Use::Clippy],
        present: || command::succeeds(command::cargo().args(["clippy", "--version"])),
        ways: &[Way::Rustup(&["component", "add", "clippy"]), Way::Apt(&["rust-clippy"])],
    },
    Need {
        name: "cargo-deny",
        why: "checks licences, sources and advisories of the dependencies",
        uses: &[Use::Deny],
        present: || command::find("cargo-deny").is_some(),
        ways: &[Way::Cargo {
            package: "cargo-deny",
            version: || Ok("0.20.2".to_owned()),
            arguments: &[],
            debian: &[],
            environment: &[],
        }],
    },
    Need {
        name: "cargo-machete",
        why: "finds dependencies that nothing uses",
        uses: &[Use::Machete],
        present: || command::find("cargo-machete").is_some(),
        ways: &[Way::Cargo {
            package: "cargo-machete",
            version: || Ok("0.9.2".to_owned()),
            arguments: &[],
            debian: &[],
            environment: &[],
        }],
    },
    Need {
        name: "a Rust compiler for wasm32-unknown-unknown",
        why: "builds the no-IO crates for WebAssembly",
        uses: &[Use::Wasm, Use::Playground],
        present: || wasm::Toolchain::find().is_some(),
        ways: &[
            Way::Rustup(&["target", "add", "wasm32-unknown-unknown"]),
            Way::Apt(&["rustc-web", "cargo-web", "rust-web-src", "lld-22"]),
        ],
    },
    Need {
        name: "wasm-bindgen",
        why: "runs tests under WebAssembly; must be of the version that Cargo.lock names",
        uses: &[Use::Wasm, Use::Playground],
        present: has_wasm_bindgen,
        ways: &[Way::Cargo {
            package: "wasm-bindgen-cli",
            version: || workspace::locked_version("wasm-bindgen"),
            arguments: &["--force"],
            debian: &[],
            environment: &[],
        }],
    },
    Need {
        name: "Node.js",
        why: "executes WebAssembly, and WebRTC clients in JavaScript",
        uses: &[Use::Wasm, Use::Playground, Use::Clients],
        present: || command::find("node").is_some() && command::find("npm").is_some(),
        ways: &[Way::Apt(&["nodejs", "npm"])],
    },
    Need {
        name: "Chromium and its driver",
        why: "a real browser to test the playground in, and a real WebRTC client",
        uses: &[Use::Playground, Use::Clients],
        present: || command::find("chromedriver").is_some() && command::find("chromium").is_some(),
        ways: &[Way::Apt(&["chromium", "chromium-driver", "fonts-liberation"])],
    },
    Need {
        name: "coturn",
        why: "its client programs (turnutils_uclient and others) relay through ours",
        uses: &[Use::Test],
        present: || {
            ["turnutils_uclient", "turnutils_peer", "turnutils_stunclient"].iter().all(|p| command::find(p).is_some())
        },
        ways: &[Way::Apt(&["coturn"])],
    },
    Need {
        name: "Firefox ESR",
        why: "a real WebRTC client that relays through ours",
        uses: &[Use::Clients],
        present: || command::find("firefox-esr").is_some(),
        ways: &[Way::Apt(&["firefox-esr"])],
    },
    Need {
        name: "libnice",
        why: "the WebRTC stack of GStreamer and Janus, which relays through ours",
        uses: &[Use::Clients],
        present: || command::succeeds(Command::new("pkg-config").args(["--exists", "nice"])),
        ways: &[Way::Apt(&["libnice-dev", "pkg-config"])],
    },
    Need {
        name: "Go and pion/turn",
        why: "a TURN client in Go that relays through ours",
        uses: &[Use::Clients],
        present: || {
            command::find("go").is_some() && Path::new("/usr/share/gocode/src/github.com/pion/turn/v2").is_dir()
        },
        ways: &[Way::Apt(&["golang-go", "golang-github-pion-turn.v2-dev"])],
    },
    Need {
        name: "werift, node-datachannel and playwright-core",
        why: "WebRTC clients in Node.js, the second with libjuice, that relay through ours, and what drives the demo's page",
        uses: &[Use::Clients],
        present: node::has_packages,
        ways: &[Way::NodePackages],
    },
    Need {
        name: "Python with virtual environments",
        why: "runs tools and tests that are written in Python",
        uses: &[Use::Test, Use::Deploy],
        present: || command::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])),
        ways: &[Way::Apt(&["python3", "python3-venv", "python3-pip"])],
    },
    Need {
        name: "aioice, aiortc and rotel",
        why: "a TURN and a WebRTC client in Python that relay through ours, and an OpenTelemetry collector that takes its telemetry",
        uses: &[Use::Test],
        present: python::has_packages,
        ways: &[Way::PythonPackages],
    },
    Need {
        name: "hadolint, kubernetes-validate and promql-parser",
        why: "check the Dockerfile, the Kubernetes manifests and the dashboard",
        uses: &[Use::Deploy],
        present: python::has_packages,
        ways: &[Way::PythonPackages],
    },
    Need {
        name: "systemd-analyze",
        why: "checks the systemd unit",
        uses: &[Use::Deploy],
        present: || command::find("systemd-analyze").is_some(),
        ways: &[Way::Apt(&["systemd"])],
    },
    Need {
        name: "curl",
        why: "asks metadata servers in the container's entry point",
        uses: &[Use::Test],
        present: || command::find("curl").is_some(),
        ways: &[Way::Apt(&["curl"])],
    },
    Need {
        name: "openssl",
        why: "mints credentials as the documentation tells back ends to",
        uses: &[Use::Test],
        present: || command::find("openssl").is_some(),
        ways: &[Way::Apt(&["openssl"])],
    },
    Need {
        name: "ip",
        why: "makes the network namespaces that tests use",
        uses: &[Use::Test],
        present: || command::find("ip").is_some(),
        ways: &[Way::Apt(&["iproute2"])],
    },
    Need {
        name: "nft",
        why: "translates addresses between the network namespaces that tests use",
        uses: &[Use::Test],
        present: || command::find("nft").is_some(),
        ways: &[Way::Apt(&["nftables"])],
    },
    Need {
        name: "ethtool",
        why: "turns off checksum offloading between network namespaces",
        uses: &[Use::Test],
        present: || command::find("ethtool").is_some(),
        ways: &[Way::Apt(&["ethtool"])],
    },
    Need {
        name: "tshark and tcpdump",
        why: "read and write packet captures beside our own code",
        uses: &[Use::Test],
        present: || command::find("tshark").is_some() && command::find("tcpdump").is_some(),
        ways: &[Way::Apt(&["tshark", "tcpdump"])],
    },
    Need {
        name: "libfaketime",
        why: "sets the wall clock of a relay under test",
        uses: &[Use::Test],
        present: has_libfaketime,
        ways: &[Way::Apt(&["libfaketime"])],
    },
    Need {
        name: "shellcheck",
        why: "checks shell scripts",
        uses: &[Use::Scripts],
        present: || command::find("shellcheck").is_some(),
        ways: &[Way::Apt(&["shellcheck"])],
    },
    // Not for Use::Run: without these two the relay is built all the same, and relays in user space.
    Need {
        name: "a Rust compiler for bpfel-unknown-none",
        why: "builds the kernel program of the XDP fast path",
        uses: &[Use::Test, Use::Clippy],
        present: has_bpf_compiler,
        ways: &[
            Way::Rustup(&["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]),
            Way::Apt(&["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"]),
        ],
    },
    Need {
        name: "bpf-linker",
        why: "links the kernel program of the XDP fast path",
        uses: &[Use::Test, Use::Clippy],
        present: has_bpf_linker,
        ways: &[
            Way::Cargo {
                package: "bpf-linker",
                version: || Ok("0.13.0".to_owned()),
                arguments: &["--no-default-features", "--features", "llvm-22"],
                debian: &["llvm-22-dev", "libpolly-22-dev", "libzstd-dev", "zlib1g-dev"],
                environment: &[("LLVM_PREFIX", "/usr/lib/llvm-22")],
            },
            Way::Cargo {
                package: "bpf-linker",
                version: || Ok("0.13.0".to_owned()),
                // The LLVM that comes with rustc.
                arguments: &[],
                debian: &[],
                environment: &[],
            },
        ],
    },
];

fn has_wasm_bindgen() -> bool {
    let Ok(version) = workspace::locked_version("wasm-bindgen") else { return false };
    ["wasm-bindgen", "wasm-bindgen-test-runner"].iter().all(|program| {
        let printed = command::output(Command::new(program).arg("--version"));
        printed.is_some_and(|printed| printed.split_whitespace().last() == Some(&version))
    })
}

fn has_bpf_linker() -> bool {
    command::find("bpf-linker").is_some()
}

fn has_bpf_compiler() -> bool {
    let debian = Path::new("/usr/lib/rustlib/bpfel-unknown-none").is_dir() && Path::new("/usr/bin/cargo").exists();
    debian || {
        let sysroot = command::output(Command::new("rustc").args(["+nightly", "--print", "sysroot"]));
        sysroot.is_some_and(|root| Path::new(root.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_need_says_what_for_and_has_a_way() {
        for need in NEEDS {
            assert!(!need.uses.is_empty() && !need.ways.is_empty(), "{}", need.name);
        }
    }

    #[test]
    fn a_need_is_for_its_uses_only() {
        let rustfmt = NEEDS.iter().find(|need| need.name == "rustfmt").unwrap();
        assert!(rustfmt.is_for(&[Use::Deny, Use::Fmt]));
        assert!(!rustfmt.is_for(&[Use::Run]));
        assert!(!rustfmt.is_for(&[]));
    }

    #[test]
    fn running_the_relay_needs_no_test_tools() {
        let run: Vec<_> = NEEDS.iter().filter(|need| need.is_for(&[Use::Run])).map(|need| need.name).collect();
        let test_tools = [
            "coturn",
            "aioice, aiortc and rotel",
            "Firefox ESR",
            "Node.js",
            "cargo-deny",
            "cargo-machete",
            "clippy",
            "tshark and tcpdump",
            "bpf-linker",
        ];
        for test_tool in test_tools {
            assert!(NEEDS.iter().any(|need| need.name == test_tool));
            assert!(!run.contains(&test_tool), "{test_tool}");
        }
    }
}
