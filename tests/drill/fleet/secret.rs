//! A certificate in a secret of Kubernetes, which the kubelet exchanges by a link that all files of the mount lead through. Nobody
//! tells the nodes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::haproxy::Mode;
use super::{Fleet, NODES};
use crate::support_command::certificates::Pair;
use crate::{Size, Verdict};

const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);
/// The files of a secret of the type kubernetes.io/tls.
const FILES: [&str; 2] = ["tls.crt", "tls.key"];

pub fn drill(size: Size) -> Verdict {
    let swaps = size.pick(3, 20);
    let mut fleet = match Fleet::prepare(Mode::Http) {
        Ok(fleet) => fleet,
        Err(verdict) => return verdict,
    };
    let mounts: Vec<_> = (0..NODES).map(|at| fleet.site.of_node(at, "mount")).collect();
    for (at, mount) in mounts.iter().enumerate() {
        fs::create_dir(mount).expect("a folder");
        swap(mount, "..0", &fleet.site.pair);
        for (file, name) in FILES.into_iter().zip(["cert.pem", "key.pem"]) {
            symlink(Path::new("..data").join(file), mount.join(file)).expect("a link");
            symlink(mount.join(file), fleet.site.of_node(at, name)).expect("a link");
        }
    }
    fleet.start_nodes(|_, _| Vec::new());
    let clients = fleet.clients(CLIENTS, None);
    let mut faults = Vec::new();
    let mut longest = Duration::ZERO;
    for number in 1..=swaps {
        let pair = fleet.site.authority.pair(&format!("secret-{number}"));
        mounts.iter().for_each(|mount| swap(mount, &format!("..{number}"), &pair));
        let began = Instant::now();
        for at in 0..NODES {
            while fleet.certificate_of(at, None).as_ref() != Some(&pair.der) {
                if began.elapsed() > PATIENCE {
                    faults.push(format!("swap {number} was not taken up by node {at}"));
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        longest = longest.max(began.elapsed());
    }
    let seen = clients.stop();
    faults.extend(seen.faults());
    let figures = format!(
        "{swaps} swaps of the secret's link on each node, taken up by all within {longest:.1?} without a signal, {} requests, \
         {} failed",
        seen.requests,
        seen.failures.len()
    );
    Verdict { figures, faults }
}

/// What the kubelet does: a new folder, a link to it in the place of the old link, and the old folder is removed.
fn swap(mount: &Path, folder: &str, pair: &Pair) {
    let new = mount.join(folder);
    fs::create_dir(&new).expect("a folder");
    for (from, file) in [&pair.cert, &pair.key].into_iter().zip(FILES) {
        fs::copy(from, new.join(file)).expect("a copy");
    }
    let old = fs::read_link(mount.join("..data"));
    symlink(folder, mount.join("..data_tmp")).expect("a link");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("the link is exchanged");
    if let Ok(old) = old {
        fs::remove_dir_all(mount.join(old)).expect("the old folder");
    }
}
