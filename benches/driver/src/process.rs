//! A server as a process with all its threads and children: starts, measures and ends it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use nix::unistd::Pid as ClockPid;
use rustix::process::{kill_process_group, Pid, Signal};

use crate::Outcome;

/// The time limit for a server to end on request.
const PATIENCE: Duration = Duration::from_secs(3);

/// Ends the server and all its processes when it goes out of scope.
pub struct Process {
    child: Child,
}

impl Process {
    /// In a process group of its own, so that nothing else is ever ended with it.
    pub fn start(command: &mut Command) -> Outcome<Process> {
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = child.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Process { child })
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The server's processes: the first one, its children, and theirs.
    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = pids.get(at) {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            let children: Vec<u32> = children
                .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
                .collect();
            pids.extend(children);
            at += 1;
        }
        pids
    }

    /// User and system time of all processes and threads so far. It comes from the kernel's clock of each process in
    /// nanoseconds, because /proc/PID/stat only has hundredths of a second.
    pub fn cpu(&self) -> Outcome<Duration> {
        let mut sum = Duration::ZERO;
        for pid in self.pids() {
            let clock = ClockId::pid_cpu_clock_id(ClockPid::from_raw(pid as i32))?;
            sum += Duration::from(clock.now()?);
        }
        Ok(sum)
    }

    /// The proportional set size in KiB: the memory of the processes, with shared pages counted once.
    pub fn memory_kib(&self) -> Outcome<u64> {
        self.sum("smaps_rollup", "Pss:")
    }

    pub fn threads(&self) -> Outcome<u64> {
        self.sum("status", "Threads:")
    }

    fn sum(&self, file: &str, field: &str) -> Outcome<u64> {
        let mut sum = 0;
        for pid in self.pids() {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
            let line = text.lines().find(|line| line.starts_with(field)).ok_or("no such field")?;
            sum += line.split_whitespace().nth(1).ok_or("no value")?.parse::<u64>()?;
        }
        Ok(sum)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group has the number of the first process, which is not reused before that process is waited for.
        let Some(group) = Pid::from_raw(self.child.id() as i32) else { return };
        let _ = kill_process_group(group, Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !self.has_ended() {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}
