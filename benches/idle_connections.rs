//! What an idle connection costs: opens thousands of TLS connections to the built command with its default limits, each
//! after one request, and prints memory a connection, threads, CPU while idle, and how long a newcomer waits.
//! `cargo bench --bench idle_connections [-- CONNECTIONS]`; 10,000 unless told.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Client = StreamOwned<ClientConnection, TcpStream>;
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Ends the server whatever happens.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Outcome<()> {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000usize);
    let directory = tempfile::tempdir()?;
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()])?;
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;

    let mut server = Server(
        Command::new(env!("CARGO_BIN_EXE_lockgate"))
            .args(["serve", "-q", "-q", "--https", "127.0.0.1:0", "--http", "off"])
            .args([&"--cert".into(), &certificate, &"--key".into(), &key])
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stdout = server.0.stdout.take().ok_or("no stdout")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let port: u16 = line.trim().rsplit(':').next().ok_or("no port")?.parse()?;
    let pid = server.0.id();

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);

    // What the first requests bring with them is not an idle connection's.
    for _ in 0..50 {
        request(&mut connect(port, &config)?)?;
    }
    let before = status(pid, "VmRSS:")?;
    let began = Instant::now();
    let openers: Vec<_> = (0..4)
        .map(|part| {
            let config = config.clone();
            let count = wanted / 4 + usize::from(part < wanted % 4);
            thread::spawn(move || -> Outcome<Vec<Client>> {
                (0..count)
                    .map(|_| {
                        let mut client = connect(port, &config)?;
                        request(&mut client)?;
                        Ok(client)
                    })
                    .collect()
            })
        })
        .collect();
    let mut clients = Vec::with_capacity(wanted);
    for opener in openers {
        clients.extend(opener.join().map_err(|_| "an opener panicked")??);
    }
    let opened_in = began.elapsed();
    let after = status(pid, "VmRSS:")?;

    let ticks = cpu_ticks(pid)?;
    thread::sleep(Duration::from_secs(5));
    let idle_ticks = cpu_ticks(pid)? - ticks;

    let mut newcomers = Vec::new();
    for _ in 0..21 {
        let began = Instant::now();
        request(&mut connect(port, &config)?)?;
        newcomers.push(began.elapsed());
    }
    newcomers.sort();
    // With the cap of 10,000 reached, each newcomer takes the place of the one that was idle for longest.
    let sample = clients.iter_mut().step_by(wanted / 100 + 1);
    let (asked, kept) =
        sample.fold((0, 0), |(asked, kept), client| (asked + 1, kept + u32::from(request(client).is_ok())));

    println!("idle connections              {}", clients.len());
    println!("opened in                     {:.1} s", opened_in.as_secs_f64());
    println!("server memory before, after   {before} KiB, {after} KiB");
    println!("memory a connection           {:.1} KiB", (after - before) as f64 / clients.len() as f64);
    println!("server threads                {}", status(pid, "Threads:")?);
    println!("server CPU in 5 idle seconds  {} ms", idle_ticks * 10);
    println!(
        "newcomer, median and worst    {:.2} ms, {:.2} ms",
        millis(newcomers[10]),
        millis(newcomers[20])
    );
    println!("still there                   {kept} of {asked} asked");
    Ok(())
}

fn connect(port: u16, config: &Arc<ClientConfig>) -> Outcome<Client> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut connection = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    // The client's own memory is bounded too.
    connection.set_buffer_limit(Some(4096));
    Ok(StreamOwned::new(connection, socket))
}

fn request(client: &mut Client) -> Outcome<()> {
    client.write_all(b"GET /api/data HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut response = Vec::new();
    let mut piece = [0; 1024];
    while !response.ends_with(b"over HTTPS\"}") {
        match client.read(&mut piece)? {
            0 => return Err("closed in the middle of a response".into()),
            read => response.extend_from_slice(&piece[..read]),
        }
    }
    Ok(())
}

fn status(pid: u32, field: &str) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
    Ok(line.split_whitespace().nth(1).ok_or("no value")?.parse()?)
}

/// User and system time so far, in hundredths of a second.
fn cpu_ticks(pid: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
