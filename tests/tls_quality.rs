//! What testssl.sh and other testers say about the built command as `lockgate demo` runs it, and an input that made servers on
//! rustls spin. Nothing here leaves the machine: the testers look up no names and ask no other hosts.

// These tests need their own part of it.

#[allow(dead_code)]
mod support_command;

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use support_command::client::tcp;
use support_command::peers::{sslyze, TESTSSL};
use support_command::{run_within, text, Server, SAFETY};
use tempfile::TempDir;

/// testssl.sh is a shell script with thousands of connections in it; it takes 40 s here.
const TESTSSL_LIMIT: Duration = Duration::from_secs(180);

/// What testssl may find, and why it may remain. Nothing about protocols, ciphers or header fields belongs here.
const ALLOWED: [(&str, &str); 3] = [
    ("cert_revocation", "the demo's authority exists on this machine only, and nobody could ask it"),
    (
        "engine_problem",
        "the OpenSSL that testssl uses has no GOST ciphers, which the server would not speak anyway",
    ),
    (
        "sessionresumption_ticket",
        "testssl's client closes as soon as the TLS 1.3 handshake is done, and often before the ticket has come, from any \
         server; that resumption works is tested in clients.rs",
    ),
];

/// What testssl has looked at when it has looked at all, and how that ended.
const LOOKED_AT: [(&str, &str, &str); 14] = [
    ("SSLv2", "OK", "not offered"),
    ("SSLv3", "OK", "not offered"),
    ("TLS1", "INFO", "not offered"),
    ("TLS1_1", "INFO", "not offered"),
    ("TLS1_2", "OK", "offered"),
    ("TLS1_3", "OK", "offered"),
    ("cipherlist_NULL", "OK", "not offered"),
    ("cipher_order", "OK", "server"),
    ("cert_chain_of_trust", "OK", "passed"),
    ("HTTP_status_code", "INFO", "200 OK"),
    ("HTTP_clock_skew", "INFO", "from localtime"),
    ("X-Content-Type-Options", "OK", "nosniff"),
    ("secure_client_renego", "OK", "not vulnerable"),
    ("LUCKY13", "OK", "not vulnerable"),
];

#[test]
fn testssl_finds_nothing_but_what_is_allowed() {
    let test = "testssl_finds_nothing_but_what_is_allowed";
    let demo = Demo::start();
    let file = demo.dir.path().join("testssl.json");
    let mut line = vec!["--quiet", "--warnings", "batch", "--color", "0", "--jsonfile", text(&file)];
    line.extend(["--nodns", "none", "--ip", "127.0.0.1", "--add-ca", &demo.ca]);
    // Protocols, cipher lists, forward secrecy, preferences, the server's and the certificate's properties, header fields, and
    // every vulnerability. --fast would leave out all preferred ciphers but the first; what is left out here (each cipher by
    // itself, clients simulated) asks nothing that these do not.
    line.extend(["-p", "-s", "-f", "-P", "-S", "-h", "-U"]);
    let url = format!("https://localhost:{}/api/data", demo.port);
    line.push(&url);
    let Some(command) = TESTSSL.command(test, &line) else { return };
    let output = run_within(TESTSSL_LIMIT, command, b"");
    let said = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<Value> = match fs::read(&file).map(|json| serde_json::from_slice(&json)) {
        Ok(Ok(findings)) => findings,
        other => panic!("{other:?}: {said}"),
    };

    let of = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_string();
    let bad: Vec<&Value> = findings
        .iter()
        .filter(|finding| {
            // WARN is what testssl could not find out.
            let severity = of(finding, "severity");
            !["OK", "INFO", "LOW", "DEBUG"].contains(&severity.as_str())
        })
        .filter(|finding| !ALLOWED.iter().any(|(id, _)| *id == of(finding, "id")))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{said}");
    for (id, severity, words) in LOOKED_AT {
        let found = findings.iter().any(|finding| {
            of(finding, "id") == id
                && of(finding, "severity") == severity
                && of(finding, "finding").contains(words)
        });
        assert!(found, "no {severity} finding {id} says {words:?}:\n{said}");
    }
}

#[test]
fn sslyze_finds_mozillas_intermediate_configuration() {
    let test = "sslyze_finds_mozillas_intermediate_configuration";
    let demo = Demo::start();
    let file = demo.dir.path().join("sslyze.json");
    let address = format!("localhost:{}", demo.port);
    // The first brings all scans that it needs; the others look at what a client meets beside.
    let mut line = vec!["--mozilla_config", "intermediate", "--http_headers", "--resum", "--early_data"];
    line.extend(["--certinfo_ca_file", &demo.ca, "--json_out", text(&file), &address]);
    let Some(command) = sslyze(test, &line) else { return };
    let output = run_within(SAFETY, command, b"");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains(&format!("{address}: OK - Compliant.")), "{said}");

    // A scan that failed has found nothing to object to.
    let results: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let scans = results["server_scan_results"][0]["scan_result"].as_object().unwrap();
    assert!(scans.len() > 15, "{:?}", scans.keys());
    for (name, scan) in scans {
        assert_eq!(scan["status"], "COMPLETED", "{name}: {scan}");
    }
    let early = &scans["tls_1_3_early_data"]["result"]["supports_early_data"];
    assert_eq!(*early, Value::Bool(false), "early data can be replayed");
}

/// GHSA-6g7w-8wpp-frhj: a ClientHello and a close_notify after it, as published. `complete_io` waited for nothing and came
/// back at once, for ever, also when the client had long gone.
#[test]
fn a_goodbye_within_the_handshake_costs_nothing() {
    const HELLO: &str = "
        16030100c8010000c40303ec12dd1764a439fd7e8c8546b84d1ea06eb3d7a051f03cb817470d4c54c5df7200001c
        eaeac02bc02fc02cc030cca9cca8c013c014009c009d002f0035000a0100007fdada0000ff010001000000001600
        140000117777772e77696b6970656469612e6f7267001700000023000000 0d0014001204030804040105030805
        050108060601020100050005010000000000120000001 0000e000c02683208687474702f312e3175500000000b
        00020100000a000a00081a1a001d001700181a1a000100";
    const CLOSE_NOTIFY: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x01, 0x00];
    const WATCHED: Duration = Duration::from_secs(3);
    let digits: String = HELLO.split_whitespace().collect();
    let hello: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    assert_eq!(hello.len(), 205, "the published bytes");

    let demo = Demo::start();
    let (before, since) = (cpu(demo.server.id()), Instant::now());
    let connections: Vec<_> = (0..50)
        .map(|_| {
            let mut connection = tcp(demo.port);
            connection.write_all(&hello).unwrap();
            connection.write_all(&CLOSE_NOTIFY).unwrap();
            connection
        })
        .collect();
    for (index, mut connection) in connections.into_iter().enumerate() {
        // Every other client has gone by now; the rest wait for the server, which has nothing to wait for.
        if index % 2 == 0 {
            let ended = connection.read_to_end(&mut Vec::new());
            assert!(ended.is_ok(), "{ended:?}");
        }
    }
    // What spins goes on with it; so this is watched for a while.
    std::thread::sleep(WATCHED.saturating_sub(since.elapsed()));
    let (took, within) = (cpu(demo.server.id()) - before, since.elapsed());
    assert!(took * 20 < within, "{took:?} of CPU in {within:?}");

    let mut client = support_command::client::Client::connect(demo.port, &demo.authority());
    client.get();
}

/// The CPU time of a process so far, user and system.
fn cpu(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // A hundred a second on every Linux there is (proc(5), USER_HZ).
    Duration::from_millis(ticks * 10)
}

/// The command, with the certificate that it makes for itself.
struct Demo {
    server: Server,
    port: u16,
    ca: String,
    dir: TempDir,
}

impl Demo {
    fn start() -> Demo {
        let dir = TempDir::new().unwrap();
        let mut server = Server::demo(dir.path(), &[]);
        let port = server.https_port();
        let ca = text(&dir.path().join("ca.pem")).to_string();
        Demo { server, port, ca, dir }
    }

    fn authority(&self) -> rustls::pki_types::CertificateDer<'static> {
        use rustls::pki_types::pem::PemObject;
        rustls::pki_types::CertificateDer::from_pem_file(&self.ca).unwrap()
    }
}
