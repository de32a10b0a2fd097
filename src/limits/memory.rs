//! Whether the limits ask for more memory than this machine has. Knows the limits, and the two files in which Linux says how much
//! memory there is. `check` calls it before a start, and `lockgate serve` at one.

use std::fs::read_to_string;

use super::Limits;

/// What a server takes beside what its limits say, with so many connections, in bytes.
pub(crate) type Beside<'b> = &'b dyn Fn(usize) -> u64;

/// Says by how much, and which limits would fit, if a server with these limits and so many connections can come to take more
/// memory than this machine has.
#[cfg(feature = "serve")]
pub fn shortage_here(limits: &Limits, connections: usize, beside: Beside<'_>) -> Option<String> {
    shortage(limits, connections, beside, of_machine()?)
}

/// The same for a machine with this much memory, in bytes.
pub(crate) fn shortage(
    limits: &Limits,
    connections: usize,
    beside: Beside<'_>,
    memory: u64,
) -> Option<String> {
    let ceiling = |connections| limits.memory_with(connections).saturating_add(beside(connections));
    if ceiling(connections) <= memory {
        return None;
    }
    // More connections never take less.
    let (mut fit, mut too_many) = (0, connections);
    while fit + 1 < too_many {
        let middle = fit + (too_many - fit) / 2;
        match ceiling(middle) <= memory {
            true => fit = middle,
            false => too_many = middle,
        }
    }
    let room = match fit {
        0 => format!(
            "the other limits alone come to {} MiB, so lower body_memory_bytes, reserve_workers and redirect_connections too",
            ceiling(0) >> 20
        ),
        1 => "1 connection fits".to_string(),
        connections => format!("{connections} connections fit"),
    };
    Some(format!(
        "with {connections} connections and everything full lockgate takes {} MiB, and there are {} MiB: {room}",
        ceiling(connections) >> 20,
        memory >> 20,
    ))
}

/// The memory of this machine, or the part that this program may use, in bytes.
pub(crate) fn of_machine() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // In a container the root of the tree is its own group (cgroup v2); elsewhere the file is missing, or says "max".
    let group = read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// proc(5): `MemTotal:  2048 kB`, where a kB has 1,024 bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_system_writes_it() {
        assert_eq!(total_of("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
    }
}
