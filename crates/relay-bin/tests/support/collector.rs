//! A real OpenTelemetry collector.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{can, http::free_tcp_address, wait_until};

/// The collector that `cargo xtask setup` installs.
fn program() -> Option<PathBuf> {
    let python = env::var_os("RELAY_TESTS_PYTHON").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tests-python/bin/python")),
        PathBuf::from,
    );
    let script = "import rotel, os; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let output = Command::new(python).args(["-c", script]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

/// A collector that writes down what it gets.
pub(crate) struct Collector {
    child: Child,
    pub(crate) address: SocketAddr,
    written: PathBuf,
}

impl Collector {
    /// Starts one; `None` where there is none.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let program = program();
        if !can("rotel", program.is_some(), "rotel is not installed (`cargo xtask setup`)") {
            return None;
        }
        let program = program.unwrap();
        // Wheels do not keep the mode of files.
        let _ = Command::new("chmod").arg("+x").arg(&program).status();
        let (address, http) = (free_tcp_address(), free_tcp_address());
        let written =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("collector-{name}-{}.log", std::process::id()));
        let output = File::create(&written).unwrap();
        let child = Command::new(program)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &address.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .args(["--exporter", "blackhole", "--debug-log", "metrics", "--debug-log", "traces"])
            .args(["--debug-log-verbosity", "detailed"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        wait_until(|| TcpStream::connect(address).is_ok());
        Some(Self { child, address, written })
    }

    /// Stops it, as if it hung.
    pub(crate) fn freeze(&self) {
        let status = Command::new("kill").args(["-s", "STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.written).unwrap()
    }

    /// The last value of each counter without attributes that it has got.
    pub(crate) fn values(&self) -> BTreeMap<String, u64> {
        let text = self.text();
        let mut values = BTreeMap::new();
        let mut name = None;
        for line in text.lines().map(str::trim) {
            if let Some(found) = line.strip_prefix("-> Name: ") {
                name = Some(found.to_owned());
            } else if let Some(value) = line.strip_prefix("Value: ")
                && let (Some(name), Ok(value)) = (name.take(), value.parse())
            {
                values.insert(name, value);
            }
        }
        values
    }

    pub(crate) fn has_value(&self, name: &str, value: u64) -> bool {
        self.values().get(name) == Some(&value)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.written);
    }
}
