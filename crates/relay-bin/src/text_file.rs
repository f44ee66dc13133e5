//! Reads text files with an entry on each line, and comments.

use std::{fs, io, path::Path};

use zeroize::Zeroizing;

/// A size limit: far above any real file, and harmless to read.
const MAX_BYTES: u64 = 64 << 20;

/// Reads the whole file. It may hold secrets, so the buffer is overwritten when it is dropped.
///
/// # Errors
///
/// Why the file cannot be read.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} has {} bytes, more than {MAX_BYTES}", path.display(), metadata.len()));
    }
    fs::read(path).map(Zeroizing::new).map_err(cannot)
}

/// The lines with an entry, trimmed, with their numbers.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

/// A line as text.
///
/// # Errors
///
/// When it is not UTF-8.
pub(crate) fn text(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())
}

/// `problem` with its place in the file.
pub(crate) fn at(path: &Path, line: usize, problem: &str) -> String {
    format!("{}, line {line}: {problem}", path.display())
}
