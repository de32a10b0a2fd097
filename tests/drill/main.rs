//! Drills: the built server under attack, under load and on its way out, while a client that behaves well must not
//! notice. One line a drill, with figures and pass or FAIL. `make drill` runs them in full; CI runs them short.
//!
//! `drill [--full] [NAME…]`; a name may be a part of one. The soak is left to `make soak`, unless it is named, when full.

mod backend;
mod client;
mod crash;
mod crowd;
mod fleet;
mod handlers;
mod load;
mod memory;
mod pairs;
mod places;
mod proxy;
mod reload;
mod resets;
mod scarcity;
mod server;
mod sockets;
mod stop;
mod subscribers;
#[path = "../support_command/mod.rs"]
mod support_command;

use std::process::ExitCode;

/// How hard the drills go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Short,
    Full,
}

impl Size {
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Size::Short => short,
            Size::Full => full,
        }
    }
}

/// What a drill has shown.
pub struct Verdict {
    pub figures: String,
    /// What was not as it must be; empty when it passes.
    pub faults: Vec<String>,
}

/// A drill by its name.
type Drill = (&'static str, fn(Size) -> Verdict);

const DRILLS: [Drill; 41] = [
    ("silent clients", |size| crowd::drill(&[crowd::Kind::Silent], size)),
    ("half a ClientHello", |size| crowd::drill(&[crowd::Kind::HalfHello], size)),
    ("a head in drips", |size| crowd::drill(&[crowd::Kind::DrippingHead], size)),
    ("stalled bodies", |size| crowd::drill(&[crowd::Kind::StalledBody], size)),
    ("slow readers", |size| crowd::drill(&[crowd::Kind::SlowReader], size)),
    ("idle connections", |size| crowd::drill(&[crowd::Kind::Idle], size)),
    ("all of them, to the cap", crowd::drill_all),
    ("places held by slow bodies and slow readers", places::slow),
    ("streams whose clients leave", places::abandoned_streams),
    ("subscribers beside requests", subscribers::many),
    ("subscribers that do not read", subscribers::stuck),
    ("subscribers that come and go", subscribers::come_and_go),
    ("idle WebSockets", sockets::idle),
    ("resets", resets::drill),
    ("no descriptors left", scarcity::descriptors),
    ("blocking handlers", scarcity::blocking),
    ("overload", scarcity::overload),
    ("stop under load", stop::under_load),
    ("stop with dead peers", stop::with_dead_peers),
    ("handlers that misbehave", handlers::drill),
    ("memory ceiling", memory::ceiling),
    ("memory ceiling, all on one connection", memory::everything_at_once),
    ("kill -9 while the demo writes certificates", crash::demo),
    ("kill -9 while a device writes its state", crash::device),
    ("proxy: a backend that misbehaves", proxy::misbehaving),
    ("proxy: a backend that is killed and frozen", proxy::killed_and_frozen),
    ("proxy: restarts of the backend", proxy::restart),
    ("proxy: slow clients and slow answers", proxy::slow),
    ("proxy: clients that wait", proxy::waiting),
    ("proxy: memory of pairs with every buffer full", pairs::full),
    ("fleet: a rolling restart", fleet::rolling),
    ("fleet: kill -9 of a node", fleet::killed),
    ("fleet: a frozen node", fleet::frozen),
    ("fleet: restarts with a passed socket", fleet::passed_socket),
    ("fleet: what all share is exchanged", fleet::exchange),
    ("fleet: a secret of Kubernetes is exchanged", fleet::secret),
    ("fleet: nodes that disagree about the time", fleet::time),
    ("fleet: a node whose disk is full", fleet::disk),
    ("fleet: a node without a file", fleet::missing_file),
    ("reload", reload::drill),
    ("soak", memory::soak),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, port] = &arguments[..] {
        if first == backend::ARGUMENT {
            backend::run(port.parse().expect("a port"));
            return ExitCode::SUCCESS;
        }
    }
    let size = if arguments.iter().any(|argument| argument == "--full") { Size::Full } else { Size::Short };
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, drill) in DRILLS {
        let named = wanted.iter().any(|part| name.contains(part.as_str()));
        let takes_minutes = name == "soak" && size == Size::Full;
        if !named && (!wanted.is_empty() || takes_minutes) {
            continue;
        }
        let Verdict { figures, faults } = drill(size);
        if faults.is_empty() {
            passed += 1;
            println!("pass  {name}: {figures}");
        } else {
            failed += 1;
            println!("FAIL  {name}: {figures}; {}", faults.join("; "));
        }
    }
    println!("drills: {passed} passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
