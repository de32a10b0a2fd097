//! Checks whether a server could start with the state directory of a device identity. It writes nothing.

use std::io;
use std::path::Path;

use rustix::fs::Access;

use super::super::rules;
use super::inspection::Inspection;
use crate::error::Error;
use crate::finding::{shell_word, Finding};
use crate::tls::{certificate_rules as of_tls, loose_mode_of, Chain};
use crate::Device;

pub(super) fn look(inspection: &mut Inspection<'_>, device: &Device) {
    let dir = device.state_dir();
    let shown = dir.display().to_string();
    if let Err(why) = may_write(dir) {
        let shell = format!("install -d -m 700 -o USER {}", shell_word(dir));
        return inspection.findings.push(Finding::new(&rules::STATE_UNUSABLE, why).at(shown).fixed_by(shell));
    }
    if !dir.exists() {
        let seen = "the directory does not exist yet; the first start makes it";
        return inspection.findings.push(Finding::new(&rules::STATE_MISSING, seen).at(shown));
    }
    if let Some(mode) = open_to_others(dir) {
        let seen = format!("users other than its owner may read or write it (mode {mode:04o})");
        let fix = format!("chmod 700 {}", shell_word(dir));
        inspection.findings.push(Finding::new(&rules::STATE_OPEN, seen).at(shown).fixed_by(fix));
    }
    for key in ["ca-key.pem", "key.pem"].map(|name| dir.join(name)) {
        if let Some(loose) = loose_mode_of(&key) {
            let finding = Finding::new(&of_tls::KEY_FILE_MODE, loose.seen()).at(key.display().to_string());
            inspection.findings.push(finding.fixed_by(loose.fix(&key)));
        }
    }
    match device.inspect(inspection.machine.now) {
        Ok(()) => {}
        Err(error @ Error::Setting { .. }) => inspection.failed(&rules::SETTING_UNUSABLE, &error),
        Err(error) => inspection.failed(&rules::DEVICE_CA_UNUSABLE, &error),
    }
    let certificate = dir.join("cert.pem");
    if let Ok(chain) = Chain::from_pem_file(&certificate) {
        inspection.own_certificate(&certificate.display().to_string(), &chain);
    }
}

/// Whether files can be made in this directory, or the directory in the one above.
fn may_write(dir: &Path) -> Result<(), String> {
    let may =
        |dir: &Path| rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from);
    match dir.metadata() {
        Ok(found) if !found.is_dir() => Err("it is not a directory".to_string()),
        Ok(_) => may(dir).map_err(|error| format!("this user may not write to it: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !above.is_dir() {
                return Err(format!(
                    "neither it nor {} exists, and lockgate makes only the last directory",
                    above.display()
                ));
            }
            may(above).map_err(|error| format!("it does not exist, and this user may not make it: {error}"))
        }
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

/// The mode of a directory, when users other than its owner may read or write it.
fn open_to_others(dir: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = dir.metadata().ok()?.permissions().mode() & 0o7777;
    (mode & 0o066 != 0).then_some(mode)
}
