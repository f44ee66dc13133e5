//! Tests of the files of secrets and users.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use relay_server::PasswordAlgorithm;
use turn_auth::Scheme;

use super::*;

/// A file in a temporary directory, which is removed on drop.
struct File(PathBuf, #[expect(dead_code, reason = "removed when dropped")] tempfile::TempDir);

impl File {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        Self(path, directory)
    }
}

const SECRET: &str = "0123456789abcdef";

fn read_secrets(name: &str, content: impl AsRef<[u8]>, schemes: Schemes) -> Result<Vec<String>, String> {
    let file = File::new(name, content);
    let secrets = secrets(&file.0, schemes)?;
    Ok(secrets.iter().map(|secret| secret.expose().to_owned()).collect())
}

#[test]
fn secrets_stand_on_lines_between_comments() {
    let content = format!("# the new one\r\n{SECRET}1\r\n\n  {SECRET}2  \n#{SECRET}3\n{SECRET},4");
    let expected = ["1", "2", ",4"].map(|end| format!("{SECRET}{end}"));
    assert_eq!(read_secrets("several", content, Schemes::Both).unwrap(), expected);

    let turn_rest = Schemes::Only(Scheme::TurnRest);
    assert_eq!(read_secrets("any-text", "north\ntwo words\n", turn_rest).unwrap(), ["north", "two words"]);
}

#[test]
fn a_line_that_is_wrong_is_named_by_its_number_without_what_it_holds() {
    let content = format!("{SECRET}\n# and\nnorth\n");
    let problem = read_secrets("short", content, Schemes::Both).unwrap_err();
    assert!(problem.contains("short, line 3: the secret has 5 characters"), "{problem}");
    assert!(problem.contains("--credential-scheme turn-rest") && !problem.contains("north"), "{problem}");

    let problem = read_secrets("latin", b"caf\xE9 au lait\n", Schemes::Only(Scheme::TurnRest)).unwrap_err();
    assert!(problem.contains("latin, line 1: it is not UTF-8"), "{problem}");

    for (line, said) in [
        ("alice", "no colon"),
        (":hunter2", "the name is empty"),
        ("alice:", "the password is empty"),
        ("al\u{1}ice:hunter2", "no control characters"),
        ("alice:0xhunter2", "32 hexadecimal digits"),
        ("alice:0x00112233445566778899aabbccddeef", "32 hexadecimal digits"),
        ("bob:hunter2", "user \"bob\" stands on an earlier line"),
    ] {
        let file = File::new("users", format!("# users\nbob:secret\n{line}\n"));
        let problem = users(&file.0, "firezone").unwrap_err();
        assert!(problem.contains("users, line 3: ") && problem.contains(said), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn files_that_say_nothing_or_cannot_be_read_are_named() {
    for content in ["", "\n\n", "# none\n"] {
        let problem = read_secrets("empty", content, Schemes::Both).unwrap_err();
        assert!(problem.contains("/empty holds no secret"), "{problem}");
        let file = File::new("empty-users", content);
        let problem = users(&file.0, "firezone").unwrap_err();
        assert!(problem.contains("/empty-users holds no user"), "{problem}");
    }
    let problem = secrets(Path::new("/nowhere/secrets"), Schemes::Both).unwrap_err();
    assert!(problem.contains("cannot read /nowhere/secrets: No such file"), "{problem}");
    let problem = secrets(&std::env::temp_dir(), Schemes::Both).unwrap_err();
    assert!(problem.contains("is no regular file"), "{problem}");
    // Root reads the file anyway.
    let unreadable = File::new("unreadable", SECRET);
    fs::set_permissions(&unreadable.0, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&unreadable.0).is_err() {
        let problem = secrets(&unreadable.0, Schemes::Both).unwrap_err();
        assert!(problem.contains("/unreadable: Permission denied"), "{problem}");
    }
}

#[test]
fn users_have_passwords_or_keys() {
    // The test vector of RFC 8489, section 9.2.2.
    let file = File::new(
        "keys",
        "user:pass\n1000:0x8493FBC53BA582FB4C044C456BDC40EB\r\nalice: with:colons and 0x \nb\u{F6}b:0x8493fbc53ba582fb4c044c456bdc40eb\n",
    );
    let users = users(&file.0, "realm").unwrap();
    let key = |name: &str| hex::encode(users[name].key(PasswordAlgorithm::Md5).unwrap().as_bytes());
    assert_eq!(users.len(), 4);
    assert_eq!(key("user"), "8493fbc53ba582fb4c044c456bdc40eb");
    assert_eq!(key("1000"), key("user"));
    assert_eq!(key("b\u{F6}b"), key("user"));
    let password = UserKeys::of_password("alice", "realm", " with:colons and 0x");
    for algorithm in [PasswordAlgorithm::Md5, PasswordAlgorithm::Sha256] {
        let [read, made] = [&users["alice"], &password].map(|keys| keys.key(algorithm).unwrap().as_bytes());
        assert_eq!(read, made);
    }
    // An MD5 key alone gives no SHA-256 key.
    assert!(users["1000"].key(PasswordAlgorithm::Sha256).is_none());
}
