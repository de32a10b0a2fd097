//! Everything that must survive a crash, in files: the account and its key, the order under way with its key, the certificate,
//! and the plan of its renewal. Every file is written under another name and then renamed, and is readable only by its owner
//! from the first byte.
//!
//! Knows files and JSON; no network. `agent` and the modules that it calls read and write files only through it.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ring::digest;
use rustix::fs::{flock, FlockOperation};
use serde_json::{json, Value};
use zeroize::Zeroizing;

use super::base64url;
use super::foreign::{clean, clean_up_to};
use crate::device::draft::{sync_directory, Draft, FileError};
use crate::error::AcmeFault;
use crate::escape;
use crate::regular_file::{self, Links};
use crate::sort::sort_by;

/// The largest file that is read, in bytes. Files written here are much smaller.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The most accounts. There is one for each authority that was ever used.
const MOST_ACCOUNTS: usize = 64;
const DRAFT: &str = "new";
/// How much of an error is stored. It may hold a URL and an authority's text.
const ERROR_BYTES: usize = 4 * 1024;

/// The folder `acme` in a state directory.
#[derive(Debug, Clone)]
pub(super) struct State {
    dir: PathBuf,
}

/// An account with one authority.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// Its URL at the authority. `None` before it is registered.
    pub url: Option<String>,
}

/// An order under way. It is stored so that an order is never made twice.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PendingOrder {
    pub url: String,
    pub directory: String,
    pub names: Vec<String>,
    pub profile: Option<String>,
    /// The certificate's key, and the request signed with it.
    pub key_pem: Zeroizing<String>,
    pub csr: Vec<u8>,
}

/// Further facts. Losing them only delays things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub plan: Option<Plan>,
    /// When the last order was made or about to be made. Seconds since 1970, as all times here.
    pub last_order: Option<i64>,
    /// Renewals in a row of a certificate that was still young.
    pub hasty: u32,
    /// How many attempts have failed since the last success.
    pub failures: u32,
    /// No attempt before this time.
    pub not_before: Option<i64>,
    pub last_error: Option<String>,
    pub last_error_at: Option<i64>,
}

/// The plan of a certificate's renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The certificate's name (RFC 9773 §4.1).
    pub certificate: String,
    pub renew_at: i64,
    /// The window that the authority suggested.
    pub window: Option<(i64, i64)>,
    /// When to ask the authority again.
    pub ask_at: Option<i64>,
    pub explanation: Option<String>,
}

/// The right to use the directory. Dropping it gives the right back; the system does so when the process dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl State {
    /// Creates the folder and the state directory if they do not exist, but nothing above: if that is missing, a disk is
    /// probably not mounted.
    pub(super) fn open(state_dir: &Path) -> Result<State, AcmeFault> {
        make_directory(state_dir)?;
        State::reopen(state_dir)
    }

    /// Opens a folder that existed before. If it is gone, it was removed on purpose and is not created.
    pub(super) fn reopen(state_dir: &Path) -> Result<State, AcmeFault> {
        let state = State::at(state_dir);
        make_directory(&state.dir)?;
        Ok(state)
    }

    /// Opens the folder without creating it, for readers.
    pub(super) fn at(state_dir: &Path) -> State {
        State { dir: state_dir.join("acme") }
    }

    pub(super) fn lock(&self) -> Result<Lock, AcmeFault> {
        let path = self.lock_file();
        let file = regular_file::open_lock(&path).map_err(|source| failed(&path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(AcmeFault::InUse { file: path }),
            Err(error) => Err(failed(&path, error.into())),
        }
    }

    /// Whether the lock belongs to the current directory. The directory may have been replaced.
    pub(super) fn is_of_here(&self, lock: &Lock) -> bool {
        let place = |found: Metadata| (found.dev(), found.ino());
        let here = fs::metadata(self.lock_file()).map(place);
        matches!((here, lock.0.metadata().map(place)), (Ok(here), Ok(held)) if here == held)
    }

    /// Stores key and chain in one file, so that a crash cannot leave one without the other.
    pub(super) fn certificate_file(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    pub(super) fn certificate(&self) -> Result<Option<Zeroizing<Vec<u8>>>, AcmeFault> {
        self.read(&self.certificate_file())
    }

    pub(super) fn save_certificate(&self, pem: &str) -> Result<(), AcmeFault> {
        self.write(&self.certificate_file(), pem.as_bytes())
    }

    pub(super) fn account(&self, directory: &str) -> Result<Option<Account>, AcmeFault> {
        self.json(&self.account_file(directory), |json| {
            let pkcs8 = base64url::decode(json["key"].as_str()?)?.into();
            Some(Account { pkcs8, url: json["url"].as_str().map(String::from) })
        })
    }

    /// The authorities with accounts, and the accounts' URLs.
    pub(super) fn accounts(&self) -> Result<Vec<(String, String)>, AcmeFault> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| failed(&self.dir, source))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut accounts = Vec::new();
        for name in
            names.filter(|name| name.starts_with("account-") && name.ends_with(".json")).take(MOST_ACCOUNTS)
        {
            let account = self.json(&self.dir.join(name), |json| {
                Some((json["directory"].as_str()?.to_string(), json["url"].as_str().map(String::from)))
            })?;
            if let Some((directory, Some(url))) = account {
                accounts.push((directory, url));
            }
        }
        sort_by(&mut accounts, Ord::cmp);
        Ok(accounts)
    }

    pub(super) fn save_account(&self, directory: &str, account: &Account) -> Result<(), AcmeFault> {
        let json =
            json!({"directory": directory, "url": account.url, "key": base64url::encode(&account.pkcs8)});
        self.write(&self.account_file(directory), Zeroizing::new(json.to_string()).as_bytes())
    }

    pub(super) fn order(&self) -> Result<Option<PendingOrder>, AcmeFault> {
        self.json(&self.order_file(), |json| {
            Some(PendingOrder {
                url: json["url"].as_str()?.to_string(),
                directory: json["directory"].as_str()?.to_string(),
                names: json["names"]
                    .as_array()?
                    .iter()
                    .filter_map(|name| name.as_str().map(String::from))
                    .collect(),
                profile: json["profile"].as_str().map(String::from),
                key_pem: json["key"].as_str()?.to_string().into(),
                csr: base64url::decode(json["csr"].as_str()?)?,
            })
        })
    }

    pub(super) fn save_order(&self, order: &PendingOrder) -> Result<(), AcmeFault> {
        let json = json!({
            "url": order.url,
            "directory": order.directory,
            "names": order.names,
            "profile": order.profile,
            "key": *order.key_pem,
            "csr": base64url::encode(&order.csr),
        });
        self.write(&self.order_file(), Zeroizing::new(json.to_string()).as_bytes())
    }

    pub(super) fn forget_order(&self) -> Result<(), AcmeFault> {
        let path = self.order_file();
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.map_err(|source| failed(&path, source)),
        }
    }

    pub(super) fn book(&self) -> Result<Book, AcmeFault> {
        let plan = |json: &Value| {
            Some(Plan {
                certificate: json["certificate"].as_str()?.to_string(),
                renew_at: json["renew_at"].as_i64()?,
                window: json["window"][0].as_i64().zip(json["window"][1].as_i64()),
                ask_at: json["ask_at"].as_i64(),
                explanation: json["explanation"].as_str().map(clean),
            })
        };
        let book = self.json(&self.book_file(), |json| {
            Some(Book {
                plan: plan(&json["plan"]),
                last_order: json["last_order"].as_i64(),
                hasty: json["hasty"].as_u64().and_then(|times| u32::try_from(times).ok()).unwrap_or(0),
                failures: u32::try_from(json["failures"].as_u64()?).ok()?,
                not_before: json["not_before"].as_i64(),
                last_error: json["last_error"].as_str().map(|error| clean_up_to(error, ERROR_BYTES)),
                last_error_at: json["last_error_at"].as_i64(),
            })
        });
        Ok(book?.unwrap_or_default())
    }

    pub(super) fn save_book(&self, book: &Book) -> Result<(), AcmeFault> {
        let plan = book.plan.as_ref().map(|plan| {
            json!({
                "certificate": plan.certificate,
                "renew_at": plan.renew_at,
                "window": plan.window.map(|(start, end)| [start, end]),
                "ask_at": plan.ask_at,
                "explanation": plan.explanation,
            })
        });
        let json = json!({
            "plan": plan,
            "last_order": book.last_order,
            "hasty": book.hasty,
            "failures": book.failures,
            "not_before": book.not_before,
            "last_error": book.last_error.as_ref().map(|error| clean_up_to(error, ERROR_BYTES)),
            "last_error_at": book.last_error_at,
        });
        self.write(&self.book_file(), json.to_string().as_bytes())
    }

    /// One account for each authority, because authorities do not share accounts.
    fn account_file(&self, directory: &str) -> PathBuf {
        let hash = digest::digest(&digest::SHA256, directory.as_bytes());
        let name: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.dir.join(format!("account-{name}.json"))
    }

    fn lock_file(&self) -> PathBuf {
        self.dir.join("lock")
    }

    fn order_file(&self) -> PathBuf {
        self.dir.join("order.json")
    }

    fn book_file(&self) -> PathBuf {
        self.dir.join("renewal.json")
    }

    /// `None` also for a file with wrong contents. The log says so, and the file is written again.
    fn json<T>(&self, path: &Path, parse: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, AcmeFault> {
        let Some(bytes) = self.read(path)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&bytes).ok().and_then(|json: Value| parse(&json));
        if parsed.is_none() {
            log::warn!("ACME: {}: is damaged, and done without", escape::path(path));
        }
        Ok(parsed)
    }

    fn read(&self, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, AcmeFault> {
        let mut bytes = Zeroizing::new(Vec::new());
        let opened = regular_file::open(path, Links::Followed);
        match opened.and_then(|(file, _)| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(path, source)),
        }
    }

    /// Writes a file atomically. When this returns, it is on the disk. The writer has the lock, so one name for drafts is
    /// enough.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AcmeFault> {
        Draft::remove_left_over(path, DRAFT)
            .and_then(|()| Draft::write(path, bytes, DRAFT, 0o600)?.put_in_place())
            .and_then(|()| sync_directory(&self.dir))
            .map_err(|FileError { path, source }| AcmeFault::State { file: path, source })
    }
}

fn make_directory(dir: &Path) -> Result<(), AcmeFault> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if !dir.is_dir() => Err(failed(dir, error)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: io::Error) -> AcmeFault {
    AcmeFault::State { file: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    const DIRECTORY: &str = "https://example.com/directory";

    fn order() -> PendingOrder {
        PendingOrder {
            url: "https://example.com/order/1".into(),
            directory: DIRECTORY.into(),
            names: vec!["a.example".into(), "192.0.2.1".into()],
            profile: Some("shortlived".into()),
            key_pem: "key".to_string().into(),
            csr: vec![1, 2, 3],
        }
    }

    fn full_book() -> Book {
        Book {
            plan: Some(Plan {
                certificate: "a.b".into(),
                renew_at: 5,
                window: Some((4, 6)),
                ask_at: Some(3),
                explanation: Some("https://example.com/why".into()),
            }),
            last_order: Some(1),
            hasty: 7,
            failures: 2,
            not_before: Some(3),
            last_error: Some("no".into()),
            last_error_at: Some(4),
        }
    }

    #[test]
    fn what_is_written_is_read_again_by_its_owner_alone() {
        let dir = TempDir::new().unwrap();
        let state = State::open(dir.path()).unwrap();
        assert!(state.account(DIRECTORY).unwrap().is_none() && state.order().unwrap().is_none());
        assert_eq!(state.book().unwrap(), Book::default());
        assert_eq!(state.certificate().unwrap(), None);

        let account = Account { pkcs8: vec![9; 60].into(), url: Some("https://example.com/acct/1".into()) };
        state.save_account(DIRECTORY, &account).unwrap();
        state.save_order(&order()).unwrap();
        state.save_book(&full_book()).unwrap();
        state.save_certificate("pem").unwrap();
        assert!(state.account(DIRECTORY).unwrap() == Some(account));
        assert!(state.account("https://other.example/").unwrap().is_none());
        assert!(state.order().unwrap() == Some(order()));
        assert_eq!(state.book().unwrap(), full_book());
        assert_eq!(&**state.certificate().unwrap().unwrap(), b"pem");

        let files: Vec<_> = fs::read_dir(dir.path().join("acme")).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 4, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        state.forget_order().unwrap();
        state.forget_order().unwrap();
        assert!(state.order().unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = TempDir::new().unwrap();
        let state = State::open(dir.path()).unwrap();
        for contents in ["", "{", "[]", "{\"url\":1}"] {
            for path in [state.order_file(), state.book_file(), state.account_file(DIRECTORY)] {
                fs::write(path, contents).unwrap();
            }
            assert!(state.order().unwrap().is_none() && state.account(DIRECTORY).unwrap().is_none());
            assert_eq!(state.book().unwrap(), Book::default());
        }
    }

    #[test]
    fn one_at_a_time_works_with_a_state_directory() {
        let dir = TempDir::new().unwrap();
        let state = State::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        let refused = state.lock().unwrap_err().to_string();
        assert!(refused.contains("another process uses this state directory"), "{refused}");
        drop(lock);
        state.lock().unwrap();
    }

    #[test]
    fn a_directory_that_was_taken_away_is_noticed_and_never_made_again() {
        let dir = TempDir::new().unwrap();
        let state_dir = dir.path().join("state");
        let state = State::open(&state_dir).unwrap();
        let lock = state.lock().unwrap();
        assert!(state.is_of_here(&lock));
        fs::remove_dir_all(&state_dir).unwrap();
        assert!(!state.is_of_here(&lock) && State::reopen(&state_dir).is_err());
        // An empty directory, as on a new disk.
        fs::create_dir(&state_dir).unwrap();
        let state = State::reopen(&state_dir).unwrap();
        let new = state.lock().unwrap();
        assert!(state.is_of_here(&new) && !state.is_of_here(&lock));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("acme"), "").unwrap();
        let message = State::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("acme: ") && message.contains("may write to"), "{message}");
        // The disk that it is on may not be there.
        let message = State::open(&dir.path().join("disk/state")).unwrap_err().to_string();
        assert!(message.contains("disk/state: ") && !dir.path().join("disk").exists(), "{message}");
    }
}
