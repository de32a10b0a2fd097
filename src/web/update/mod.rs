//! Firmware images in two slots: installed when their signature is right, tried, and marked as good or rolled back. Knows
//! requests and uploads; a device's program calls it, and so does what starts that program.

mod bundle;
mod fault;
mod state;
#[cfg(test)]
mod testing;

use std::fs::{self, File};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::os::unix::fs::{symlink, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

pub use self::fault::UpdateFault;
pub use self::state::{Slot, SlotStatus};

use self::state::{Image, State};
use super::digest::Digester;
use super::upload::{Received, Upload};
use super::upload_fault::UploadFault;
use crate::error::Error;
use crate::http::request::Request;
use crate::regular_file::{self, Links};

const STATE: &str = "update.state";
const STATE_DRAFT: &str = "update.state-new";
const LOCK: &str = "update.lock";
/// The link to the file of the primary slot.
const PRIMARY: &str = "primary";
const PRIMARY_DRAFT: &str = "primary-new";
const MOST_STATE_BYTES: u64 = 4096;

/// A device's firmware in two slots, A and B: an update is installed in the slot that does not run, is started on trial, and is
/// rolled back unless it is marked as good. The words are those of RAUC and U-Boot.
///
/// ```no_run
/// use lockgate::web::Update;
/// use lockgate::{Error, Request, Response, Router};
///
/// # const KEY: [u8; 32] = [0; 32];
/// fn update() -> Update {
///     Update::slot("/data/firmware").key(KEY).compatible("pump")
/// }
///
/// // The program that starts the firmware, once for each boot:
/// fn start() -> Result<(), Error> {
///     if let Some(boot) = update().boot()? {
///         println!("starting {} (version {})", boot.path.display(), boot.version);
///     }
///     Ok(())
/// }
///
/// // The firmware, when it has found that all works, the network too:
/// fn works() -> Result<(), Error> {
///     update().mark_good()
/// }
///
/// // And to receive the next one:
/// let router = Router::new().put("/api/firmware", |request: &mut Request| -> Result<Response, Error> {
///     let installed = update().install(request)?;
///     Ok(Response::text(format!("version {} starts at the next boot", installed.version)))
/// });
/// ```
///
/// # The bundle
/// One file: a head of text, an empty line, and the image. The head's lines are signed with Ed25519, and hold the image's
/// SHA-256, so nothing of an image is stored before the signature is known to be right. With OpenSSL 3:
///
/// ```sh
/// openssl genpkey -algorithm ed25519 -out key.pem
/// openssl pkey -in key.pem -pubout -outform DER | tail -c 32 >key.pub     # the 32 bytes for `Update::key`
///
/// printf 'lockgate update 1\ncompatible pump\nversion 7\nbytes %s\nsha256 %s\n' \
///     "$(stat -c %s image)" "$(sha256sum <image | cut -d' ' -f1)" >head
/// openssl pkeyutl -sign -rawin -inkey key.pem -in head -out signature
/// { cat head; printf 'signature %s\n\n' "$(od -An -tx1 -v signature | tr -d ' \n')"; cat image; } >bundle
/// curl --upload-file bundle https://device/api/firmware
/// ```
///
/// The version is a number. A bundle with a lower one than the good image's is refused.
///
/// # The folder
/// `slot-a.img` and `slot-b.img` are the images, `primary` is a link to the one that starts next, and `update.state` says how far
/// it is: empty, pending (installed), tried (started), good. Each change is one rename of a file that is on the disk, so that
/// after a crash at any moment the primary slot holds the old image whole, or the new one.
///
/// An image that is not marked as good is started [`bootlimit`](Update::bootlimit) times; then [`boot`](Update::boot) goes back
/// to the good one. Starts of a good image are not counted, so switching a device off and on does not change its image. As long as
/// an image is on trial no other is installed, because the slot that is left holds the good one.
///
/// # What it does not do
/// It is no bootloader, and starts nothing: what starts the firmware (an init script, or a program of your own) calls `boot` and
/// then runs what `primary` leads to. It writes files, not partitions, and protects nothing from those who can write the folder:
/// [`boot`](Update::boot) compares a new image with its SHA-256 before its first start, and never again. A kernel or a bootloader
/// that is part of the update needs the bootloader's own means.
#[derive(Debug, Clone)]
pub struct Update {
    dir: PathBuf,
    keys: Vec<[u8; 32]>,
    compatible: String,
    bootlimit: u32,
    most_bytes: u64,
}

/// An image that has been installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installed {
    /// The slot that holds it.
    pub slot: Slot,
    /// Its version.
    pub version: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boot {
    /// The slot.
    pub slot: Slot,
    /// Its file.
    pub path: PathBuf,
    /// The image's version.
    pub version: u64,
    /// [`SlotStatus::Tried`] for an image on trial, else [`SlotStatus::Good`].
    pub status: SlotStatus,
    /// How often it was started on trial, this time included. 0 for a good image.
    pub bootcount: u32,
}

impl Update {
    /// The slots in this folder, which must exist.
    pub fn slot(dir: impl AsRef<Path>) -> Update {
        let dir = dir.as_ref().to_path_buf();
        Update { dir, keys: Vec::new(), compatible: String::new(), bootlimit: 3, most_bytes: u64::MAX }
    }

    /// A public key (Ed25519, RFC 8032) that may have signed a bundle. There may be several, so that keys can be changed. Without
    /// one every bundle is refused.
    pub fn key(mut self, public: [u8; 32]) -> Self {
        self.keys.push(public);
        self
    }

    /// The kind of device. A bundle must name the same kind; by default the name is empty.
    pub fn compatible(mut self, kind: impl Into<String>) -> Self {
        self.compatible = kind.into();
        self
    }

    /// How often an image is started without being marked as good. Defaults to 3; at least 1.
    pub fn bootlimit(mut self, starts: u32) -> Self {
        self.bootlimit = starts.max(1);
        self
    }

    /// The largest image, in bytes: 413. It lowers [`Limits::body_bytes`](crate::Limits::body_bytes), which holds in any case.
    pub fn max_bytes(mut self, most: u64) -> Self {
        self.most_bytes = most;
        self
    }

    /// Installs the bundle that the request's body is. It starts at the next [`boot`](Update::boot).
    ///
    /// # Errors
    /// [`Error::Answer`]: with an [`UpdateFault`] 403 when the signature is wrong, 422 for another format, 409 for another kind of
    /// device, for a version that is too low, and while an image is on trial, and 400 when the image is damaged; with an
    /// [`UploadFault`] 507 when the disk is full, and 500. [`Error::Body`] as [`Upload::save`].
    pub fn install(&self, request: &mut Request<'_>) -> Result<Installed, Error> {
        request.check_content_coding()?;
        if request.header("content-range").is_some() {
            return Err(UploadFault::Part.into());
        }
        self.install_from(request.body())
    }

    /// Installs a bundle that has come already, as a [`Resumable`](super::Resumable) upload or as a part of a form.
    ///
    /// # Errors
    /// As [`install`](Update::install).
    pub fn install_received(&self, mut bundle: Received) -> Result<Installed, Error> {
        let opened = bundle.open().map_err(|error| self.io("a bundle cannot be read", error))?;
        self.install_from(opened)
    }

    fn install_from(&self, mut source: &mut dyn Read) -> Result<Installed, Error> {
        let (manifest, rest) = bundle::read(&mut source, &self.keys)?;
        if manifest.compatible != self.compatible {
            return Err(UpdateFault::Compatible { bundle: manifest.compatible }.into());
        }
        // What can be known before the image comes is not found out after it.
        self.slot_for(&self.read_state()?, manifest.version)?;
        let upload = Upload::to(&self.dir).max_bytes(self.most_bytes.min(manifest.bytes));
        let mut image = Cursor::new(rest).chain(source);
        let received = upload.receive_from(&mut image, Some(manifest.bytes), Digester::new(Vec::new()))?;
        if received.bytes() != manifest.bytes || *received.sha256() != manifest.sha256 {
            return Err(UpdateFault::Image.into());
        }
        let _lock = self.lock()?;
        let state = self.read_state()?;
        let slot = self.slot_for(&state, manifest.version)?;
        let state = state.clearing(slot);
        self.write_state(&state)?;
        received.put_as(slot.file_name())?;
        step();
        let image = Image { version: manifest.version, sha256: manifest.sha256 };
        let state = state.installed(slot, image);
        self.write_state(&state)?;
        self.link(&state)?;
        Ok(Installed { slot, version: manifest.version, bytes: manifest.bytes })
    }

    fn slot_for(&self, state: &State, version: u64) -> Result<Slot, UpdateFault> {
        match state.good_version() {
            Some(good) if version < good => Err(UpdateFault::Version { bundle: version, good }),
            _ => state.free_slot().ok_or(UpdateFault::Trial),
        }
    }

    /// What starts now. Call it once for each start: it counts those of an image on trial, and rolls back when there were too
    /// many, or when the image is damaged before its first start. `None` when nothing is installed.
    ///
    /// # Errors
    /// [`Error::Answer`], 500, when the folder or the state cannot be read or written. The link `primary` then still leads to an
    /// image.
    pub fn boot(&self) -> Result<Option<Boot>, Error> {
        let _lock = self.lock()?;
        let before = self.read_state()?;
        let mut state = before.clone();
        if state.status == SlotStatus::Pending && state.good.is_some() && !self.is_sound(&state) {
            log::error!("{}: the new image is damaged, and is rolled back", crate::escape::path(&self.dir));
            state = state.rolled_back();
        }
        state = state.started(self.bootlimit);
        if state.primary != before.primary {
            log::warn!("{}: rolled back to the image that is marked as good", crate::escape::path(&self.dir));
        }
        if state != before {
            self.write_state(&state)?;
        }
        if state.status == SlotStatus::Empty {
            return Ok(None);
        }
        self.link(&state)?;
        let State { primary: slot, status, bootcount, .. } = state;
        let version = state.image(slot).map_or(0, |image| image.version);
        Ok(Some(Boot { slot, path: self.dir.join(slot.file_name()), version, status, bootcount }))
    }

    /// Marks the image that runs as good: it is started from now on, and the next update takes the other slot. Does nothing when
    /// it is good already, or when the new image was not started yet.
    ///
    /// # Errors
    /// As [`boot`](Update::boot).
    pub fn mark_good(&self) -> Result<(), Error> {
        self.change(State::marked_good)
    }

    /// Marks the image on trial as bad: the next start is that of the good one, if there is one.
    ///
    /// # Errors
    /// As [`boot`](Update::boot).
    pub fn mark_bad(&self) -> Result<(), Error> {
        self.change(State::rolled_back)
    }

    /// How far the primary slot's image is, and its version.
    ///
    /// # Errors
    /// As [`boot`](Update::boot).
    pub fn status(&self) -> Result<(SlotStatus, Option<u64>), Error> {
        let state = self.read_state()?;
        Ok((state.status, state.image(state.primary).map(|image| image.version)))
    }

    fn change(&self, change: impl FnOnce(State) -> State) -> Result<(), Error> {
        let _lock = self.lock()?;
        let before = self.read_state()?;
        let state = change(before.clone());
        if state != before {
            self.write_state(&state)?;
            self.link(&state)?;
        }
        Ok(())
    }

    /// Whether the primary slot's file is what was installed.
    fn is_sound(&self, state: &State) -> bool {
        let read = || -> Option<bool> {
            let image = state.image(state.primary)?;
            let (mut file, _) =
                regular_file::open(&self.dir.join(state.primary.file_name()), Links::Refused).ok()?;
            let mut digester = Digester::new(Vec::new());
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match file.read(&mut buffer).ok()? {
                    0 => return Some(digester.finish().ok()? == image.sha256),
                    read => digester.update(&buffer[..read]),
                }
            }
        };
        read().unwrap_or(false)
    }

    /// Holds the lock until it is dropped, also against other processes.
    fn lock(&self) -> Result<File, Error> {
        let failed = |error| self.io("the lock of the slots cannot be taken", error);
        let file = regular_file::open_lock(&self.dir.join(LOCK)).map_err(failed)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    fn read_state(&self) -> Result<State, Error> {
        let failed = |error| self.io("the state of the slots cannot be read", error);
        match regular_file::read_text(&self.dir.join(STATE), Links::Refused, MOST_STATE_BYTES) {
            Ok(text) => State::read(&text).ok_or_else(|| failed(io::Error::other("it is damaged"))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::EMPTY),
            Err(error) => Err(failed(error)),
        }
    }

    /// Replaces the state in one step.
    fn write_state(&self, state: &State) -> Result<(), Error> {
        let draft = self.dir.join(STATE_DRAFT);
        let write = || -> io::Result<()> {
            let mut file =
                fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(state.write().as_bytes())?;
            file.sync_all()?;
            step();
            fs::rename(&draft, self.dir.join(STATE))?;
            step();
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| self.io("the state of the slots cannot be written", error))
    }

    /// Lets the link lead to the primary slot, in one step.
    fn link(&self, state: &State) -> Result<(), Error> {
        let (link, draft) = (self.dir.join(PRIMARY), self.dir.join(PRIMARY_DRAFT));
        let target = state.primary.file_name();
        if fs::read_link(&link).is_ok_and(|known| known == Path::new(target)) {
            return Ok(());
        }
        let write = || -> io::Result<()> {
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => symlink(target, &draft)?,
            }
            step();
            fs::rename(&draft, &link)?;
            step();
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| self.io("the link to the primary slot cannot be written", error))
    }

    fn io(&self, doing: &'static str, error: io::Error) -> Error {
        UploadFault::io(doing, &self.dir, error)
    }
}

#[cfg(not(test))]
fn step() {}
#[cfg(test)]
use testing::step;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::testing::{bundle_of, crash_at, crashed_at, key};
    use super::*;

    fn update(dir: &Path) -> Update {
        Update::slot(dir).key(key()).compatible("pump")
    }

    fn install(update: &Update, bundle: &[u8]) -> Result<Installed, (u16, String)> {
        update.install(&mut Request::post("/").with_body(bundle)).map_err(|error| match error {
            Error::Answer { status, source } => (status.as_u16(), source.to_string()),
            other => (0, other.to_string()),
        })
    }

    fn booted(update: &Update) -> Option<(u64, SlotStatus, Vec<u8>)> {
        let boot = update.boot().unwrap()?;
        let image = fs::read(&boot.path).unwrap();
        assert_eq!(fs::read(update.dir.join(PRIMARY)).unwrap(), image, "the link leads there too");
        Some((boot.version, boot.status, image))
    }

    #[test]
    fn an_update_is_tried_and_marked_or_rolled_back() {
        let dir = TempDir::new().unwrap();
        let update = update(dir.path()).bootlimit(2);
        assert_eq!((booted(&update), update.status().unwrap()), (None, (SlotStatus::Empty, None)));
        install(&update, &bundle_of("pump", 1, b"first")).unwrap();
        assert_eq!(update.status().unwrap(), (SlotStatus::Pending, Some(1)));
        assert_eq!(booted(&update), Some((1, SlotStatus::Tried, b"first".to_vec())));
        update.mark_good().unwrap();
        assert_eq!(booted(&update), Some((1, SlotStatus::Good, b"first".to_vec())));
        install(&update, &bundle_of("pump", 2, b"second")).unwrap();
        for _ in 0..2 {
            assert_eq!(booted(&update), Some((2, SlotStatus::Tried, b"second".to_vec())));
            let (status, text) = install(&update, &bundle_of("pump", 3, b"third")).unwrap_err();
            assert!(status == 409 && text.contains("on trial"), "{text}");
        }
        assert_eq!(booted(&update), Some((1, SlotStatus::Good, b"first".to_vec())));
        install(&update, &bundle_of("pump", 3, b"third")).unwrap();
        assert_eq!(booted(&update).unwrap().0, 3);
        update.mark_bad().unwrap();
        assert_eq!(booted(&update).unwrap().0, 1);
        install(&update, &bundle_of("pump", 3, b"third")).unwrap();
        booted(&update).unwrap();
        update.mark_good().unwrap();
        let (status, text) = install(&update, &bundle_of("pump", 2, b"second")).unwrap_err();
        assert!(status == 409 && text.contains("older"), "{text}");
        assert_eq!(booted(&update), Some((3, SlotStatus::Good, b"third".to_vec())));
    }

    #[test]
    fn what_is_not_right_is_refused_and_leaves_nothing() {
        let dir = TempDir::new().unwrap();
        let update = update(dir.path());
        let good = bundle_of("pump", 1, &[7; 5000]);
        let at = good.len() - 1;
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        let mut forged = good.clone();
        forged[30] ^= 1;
        for (bundle, status) in [
            (&damaged[..], 400),
            (&good[..at], 400),
            (&[&good[..], b"x"].concat(), 413),
            (&forged, 403),
            (b"\x7fELF", 422),
            (b"", 422),
            (&bundle_of("valve", 1, b"x"), 409),
        ] {
            let found = install(&update, bundle).unwrap_err();
            assert!(found.0 == status || found.0 == 0 && status == 413, "{status}: {found:?}");
        }
        let (status, _) =
            install(&Update::slot(dir.path()).compatible("pump").key([1; 32]), &good).unwrap_err();
        assert_eq!(status, 403);
        let (status, _) = install(&update.clone().max_bytes(4999), &good).unwrap_err();
        assert_eq!(status, 0, "413, of the body");
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.is_empty() || names == [LOCK], "{names:?}");
        install(&update, &good).unwrap();
    }

    #[test]
    fn an_image_that_is_damaged_before_its_first_start_is_rolled_back() {
        let dir = TempDir::new().unwrap();
        let update = update(dir.path());
        install(&update, &bundle_of("pump", 1, b"first")).unwrap();
        booted(&update).unwrap();
        update.mark_good().unwrap();
        let installed = install(&update, &bundle_of("pump", 2, b"second")).unwrap();
        fs::write(dir.path().join(installed.slot.file_name()), "secony").unwrap();
        assert_eq!(booted(&update), Some((1, SlotStatus::Good, b"first".to_vec())));
    }

    /// The process is killed at each step of an update in turn. Each time there is an image to start, whole, and the update can
    /// be done again.
    #[test]
    fn a_crash_at_any_step_leaves_the_old_image_or_the_new() {
        const NAME: &str = "web::update::tests::a_crash_at_any_step_leaves_the_old_image_or_the_new";
        if let Some(dir) = crash_at() {
            let update = update(&dir);
            install(&update, &bundle_of("pump", 2, &[2; 100_000])).unwrap();
            booted(&update).unwrap();
            update.mark_good().unwrap();
            return;
        }
        let (old, new) = ((1, vec![1; 100_000]), (2, vec![2; 100_000]));
        let mut seen = Vec::new();
        for at in 1.. {
            let dir = TempDir::new().unwrap();
            let update = update(dir.path());
            install(&update, &bundle_of("pump", 1, &old.1)).unwrap();
            booted(&update).unwrap();
            update.mark_good().unwrap();
            let is_over = !crashed_at(NAME, dir.path(), at);
            let linked = fs::read(dir.path().join(PRIMARY)).unwrap();
            assert!(linked == old.1 || linked == new.1, "step {at}");
            let (version, _, image) = booted(&update).unwrap();
            let found = (version, image);
            assert!(found == old || found == new, "step {at}: version {version}");
            seen.push(version);
            // The update goes on from there.
            if version == 1 {
                install(&update, &bundle_of("pump", 2, &new.1)).unwrap();
                booted(&update).unwrap();
            }
            update.mark_good().unwrap();
            assert_eq!(booted(&update), Some((2, SlotStatus::Good, new.1.clone())), "step {at}");
            let mut names: Vec<_> = fs::read_dir(dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            // The next process that receives something removes what the killed one was receiving.
            names.retain(|name| !name.starts_with('.'));
            names.sort();
            assert_eq!(names, [PRIMARY, "slot-a.img", "slot-b.img", LOCK, STATE], "step {at}");
            if is_over {
                break;
            }
        }
        assert!(seen.len() > 8 && seen[0] == 1 && seen.last() == Some(&2), "{seen:?}");
        assert!(seen.windows(2).all(|two| two[0] <= two[1]), "{seen:?}");
    }
}
