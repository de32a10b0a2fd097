//! Pebble and its name server, on ports of their own. Both are killed, by their handles, when this is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::{pem::PemObject, CertificateDer};
use serde_json::json;
use tempfile::TempDir;

use super::authority::Authority;
use super::{free_port, https, SAFETY};

pub struct Pebble {
    pub authority: Authority,
    pub port: u16,
    /// Where it expects challenges to be answered.
    pub http_port: u16,
    pub tls_port: u16,
    management: u16,
    _names: Program,
    _pebble: Program,
    dir: TempDir,
}

struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended, and then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is asked of a Pebble beside the usual.
#[derive(Default)]
pub struct Options<'a> {
    pub arguments: &'a [&'a str],
    pub environment: &'a [(&'a str, &'a str)],
    /// The key identifier and the HMAC key of the one external account.
    pub external_account: Option<(&'a str, &'a str)>,
    /// Where challenges are answered by HTTP; a free port if nothing is said.
    pub http_port: Option<u16>,
    /// How long its certificates last, in seconds; five years if nothing is said.
    pub lifetime: Option<u64>,
}

impl Pebble {
    /// `None` when it is not installed, which is then noted.
    pub fn start(test: &str, options: Options<'_>) -> Option<Pebble> {
        let authority = Authority::new();
        let pair = authority.pair("pebble");
        let dir = TempDir::new().unwrap();
        let [port, management, http_port, tls_port, dns, dns_management] =
            std::array::from_fn(|_| free_port());
        let http_port = options.http_port.unwrap_or(http_port);
        let mut config = json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": pair.cert,
            "privateKey": pair.key,
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": options.external_account.is_some(),
        }});
        if let Some((kid, key)) = options.external_account {
            config["pebble"]["externalAccountMACKeys"] = json!({ kid: key });
        }
        if let Some(seconds) = options.lifetime {
            config["pebble"]["certificateValidityPeriod"] = json!(seconds);
        }
        let file = dir.path().join("config.json");
        fs::write(&file, config.to_string()).unwrap();

        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.args(["-management", &format!("127.0.0.1:{dns_management}")]);
        let names = spawn(test, names, &dir.path().join("names.log"))?;
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(&file).args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        pebble.args(options.arguments);
        pebble.envs([
            ("PEBBLE_VA_NOSLEEP", "1"),
            ("PEBBLE_AUTHZREUSE", "0"),
            ("PEBBLE_WFE_NONCEREJECT", "0"),
        ]);
        pebble.envs(options.environment.iter().copied());
        let pebble = spawn(test, pebble, &dir.path().join("pebble.log"))?;
        let pebble =
            Pebble { authority, port, http_port, tls_port, management, _names: names, _pebble: pebble, dir };
        pebble.wait_until_it_answers();
        Some(pebble)
    }

    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The roots that its certificates lead to; the first is that of the chain that is offered first.
    pub fn root(&self, index: usize) -> CertificateDer<'static> {
        let pem = https::get(self.management, &self.authority.ca, &format!("/roots/{index}")).unwrap();
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    /// The orders that were made, by what it says of itself.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("pebble.log")).unwrap()
    }

    /// The one wait here that has no event to wait for: a port that opens.
    fn wait_until_it_answers(&self) {
        let until = Instant::now() + SAFETY;
        while https::get(self.port, &self.authority.ca, "/dir").is_err() {
            assert!(Instant::now() < until, "Pebble does not answer:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn spawn(test: &str, mut command: Command, log: &PathBuf) -> Option<Program> {
    let file = fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    match command.spawn() {
        Ok(child) => Some(Program(child)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            leave_out(&format!("{test}: needs pebble (apt-get install pebble)"));
            None
        }
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Notes a test that cannot be done on this machine, for the end of `make test`; in CI nothing may be left out.
fn leave_out(note: &str) {
    assert!(
        std::env::var_os("CI").map_or(true, |value| value != "true"),
        "nothing may be left out here: {note}"
    );
    eprintln!("left out: {note}");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut file =
        fs::OpenOptions::new().create(true).append(true).open(target.join("left-out.txt")).unwrap();
    std::io::Write::write_all(&mut file, format!("left out: {note}\n").as_bytes()).unwrap();
}
