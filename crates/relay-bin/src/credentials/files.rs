//! Files with secrets and with users, one on each line.

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt as _, path::Path};

use relay_server::IntegrityKey;
use turn_auth::{AuthSecret, Schemes};

use super::scheme;

/// More than anybody has users, and less than would hurt.
const MAX_BYTES: u64 = 64 << 20;

/// The longest name that fits into a USERNAME as RFC 8489 wants it.
const MAX_NAME: usize = 508;

/// The static users, with their long-term keys.
pub(crate) type Users = BTreeMap<Box<str>, IntegrityKey>;

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file at `path`, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The secrets in the file at `path`, in their order.
///
/// # Errors
///
/// What is wrong with it, on which line.
pub(crate) fn secrets(path: &Path, schemes: Schemes) -> Result<Vec<AuthSecret>, String> {
    let mut secrets = Vec::new();
    for (number, line) in lines(&read(path)?) {
        let secret = text(line).and_then(|line| {
            scheme::parse_secret(line, schemes).map_err(|error| format!("{error}: {}", scheme::advice(schemes)))
        });
        secrets.push(secret.map_err(|problem| at(path, number, &problem))?);
    }
    if secrets.is_empty() {
        return Err(format!("{} holds no secret: give one on each line", path.display()));
    }
    Ok(secrets)
}

/// The users in the file at `path`.
///
/// # Errors
///
/// What is wrong with it, on which line.
pub(super) fn users(path: &Path, realm: &str) -> Result<Users, String> {
    let mut users = Users::new();
    for (number, line) in lines(&read(path)?) {
        let (name, key) =
            text(line).and_then(|line| user(line, realm)).map_err(|problem| at(path, number, &problem))?;
        if users.insert(name.into(), key).is_some() {
            return Err(at(path, number, &format!("user {name:?} stands on an earlier line, too")));
        }
    }
    if users.is_empty() {
        return Err(format!("{} holds no user: give name:password on each line", path.display()));
    }
    Ok(users)
}

/// A user's name and key, from `name:password` or `name:0x` and the key in hexadecimal. The error does not show the password.
pub(crate) fn user<'a>(line: &'a str, realm: &str) -> Result<(&'a str, IntegrityKey), String> {
    let (name, password) =
        line.split_once(':').ok_or("there is no colon: give name:password, or name:0x and the key in 32 digits")?;
    if name.is_empty() || password.is_empty() {
        let missing = if name.is_empty() { "name" } else { "password" };
        return Err(format!("the {missing} is empty: give name:password"));
    }
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(format!("a name has up to {MAX_NAME} bytes and no control characters"));
    }
    match password.strip_prefix("0x") {
        None => Ok((name, IntegrityKey::long_term(name, realm, password))),
        Some(digits) => {
            let mut key = [0; 16];
            hex::decode_to_slice(digits, &mut key).map_err(|_| {
                format!(
                    "what begins with 0x is a key of 32 hexadecimal digits, and this is none: give what `echo -n \
                     \"{name}:{realm}:$PASSWORD\" | md5sum` prints"
                )
            })?;
            Ok((name, IntegrityKey::from_bytes(key)))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("{} has {} bytes, more than {MAX_BYTES}", path.display(), metadata.len()));
    }
    fs::read(path).map_err(cannot)
}

/// The lines that say something, with their numbers, without white space around them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
}

fn text(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())
}

fn at(path: &Path, line: usize, problem: &str) -> String {
    format!("{}, line {line}: {problem}", path.display())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
