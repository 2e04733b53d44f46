//! What the kernel refuses to a service of a [`Machine`], also where nobody complains about it: strace looks on from outside the machine,
//! where no filter and no capability of the service is in its way.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::bed::{Bed, path};
use super::poll;
use super::run::Run;
use super::systemd::Machine;

/// What looks like a refusal and is none: a file that is always ready cannot be waited for; the register that a signal restores holds
/// what it held; and `systemd-inhibit` tries for a larger buffer and another name of its process, as it may.
const NO_REFUSALS: [&str; 5] = [
    "epoll_ctl(",
    "rt_sigreturn(",
    ", SO_SNDBUFFORCE, ",
    ", SO_RCVBUFFORCE, ",
    "prctl(PR_SET_MM, ",
];

const PATIENCE: Duration = Duration::from_secs(300);

/// A service that stands still before its program begins, and whoever looks on.
pub struct Traced {
    strace: super::run::Running,
    logs: std::path::PathBuf,
}

impl Machine {
    /// Starts `unit` with these arguments for the program, and strace with it.
    #[track_caller]
    pub fn trace(&self, unit: &str, arguments: &str) -> Traced {
        let program = "/usr/bin/kopi-docka";
        let text = format!(
            "[Service]\nExecStart=\nExecStart=/bin/sh -c 'kill -STOP $$$$; exec {program} {arguments}'\n"
        );
        let drop_in = format!("/etc/systemd/system/{unit}.d/traced.conf");
        self.write(&drop_in, "644", &text);
        self.systemctl(&["daemon-reload"]).ok();
        self.systemctl(&["start", "--no-block", unit]).ok();
        let pid = poll::until("the service to stand still", PATIENCE, || self.held());
        // A file for each process: the lines of several would run into each other.
        let command = arguments.split(' ').next().unwrap();
        let logs = self.shared(&format!("strace-{unit}-{command}"));
        fs::create_dir(&logs).unwrap();
        let strace = Run::new("strace")
            .env("PATH", path())
            .args(["-ff", "-q", "-Z", "-o"])
            .arg(logs.join("of"))
            .args(["-p", &pid.to_string()])
            .timeout(PATIENCE)
            .spawn();
        poll::until("strace to look on", PATIENCE, || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let tracer = status.lines().find(|line| line.starts_with("TracerPid:"))?;
            (!tracer.ends_with("\t0")).then_some(())
        });
        kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT).unwrap();
        self.exec(&["rm", &drop_in]).ok();
        self.systemctl(&["daemon-reload"]).ok();
        Traced { strace, logs }
    }

    /// The service that stands still, by its number outside of the machine.
    fn held(&self) -> Option<i32> {
        let top = Bed::shared().docker(&["top", self.name(), "-eo", "pid,stat,args"]);
        let top = top.text();
        let held = top.lines().find(|line| line.contains("kill -STOP"))?;
        let mut words = held.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        words.next()?.starts_with('T').then_some(pid)
    }
}

impl Traced {
    /// Waits for the end of the service and all that it started; the calls that were refused.
    #[track_caller]
    pub fn refused(self) -> Vec<String> {
        self.strace.wait();
        let files = fs::read_dir(&self.logs).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let log = texts.collect::<String>();
        // It was there from the beginning to the end.
        assert!(log.contains("ENOENT"), "strace saw nothing:\n{log}");
        let is_refused = |line: &&str| {
            (line.contains(" EPERM ") || line.contains(" EACCES "))
                && !NO_REFUSALS.iter().any(|call| line.contains(call))
        };
        log.lines().filter(is_refused).map(str::to_owned).collect()
    }
}
