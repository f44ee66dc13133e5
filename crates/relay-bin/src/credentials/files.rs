//! Parses files of secrets and files of users: one entry on each line.

use std::{collections::BTreeMap, path::Path};

use relay_server::UserKeys;
use turn_auth::{AuthSecret, Schemes};

use super::scheme;
use crate::text_file::{at, lines, read, text};

/// The longest user name, in bytes. USERNAME in RFC 8489 takes no more.
const MAX_NAME: usize = 508;

/// The static users, with their long-term keys.
pub(crate) type Users = BTreeMap<Box<str>, UserKeys>;

/// The secrets in the file at `path`, in order.
///
/// # Errors
///
/// What is wrong, with the line number.
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
/// What is wrong, with the line number.
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

/// Parses a user's name and keys from `name:password`, or from `name:0x` and the MD5 key in hexadecimal. The error does not show
/// the password.
pub(crate) fn user<'a>(line: &'a str, realm: &str) -> Result<(&'a str, UserKeys), String> {
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
        None => Ok((name, UserKeys::of_password(name, realm, password))),
        Some(digits) => {
            let mut key = [0; 16];
            hex::decode_to_slice(digits, &mut key).map_err(|_| {
                format!(
                    "what begins with 0x is a key of 32 hexadecimal digits, and this is none: give what `echo -n \
                     \"{name}:{realm}:$PASSWORD\" | md5sum` prints"
                )
            })?;
            Ok((name, UserKeys::from_bytes(key, None)))
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
