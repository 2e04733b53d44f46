//! Points where a test can end or hold the program, in debug builds only.
//!
//! `KOPI_DOCKA_FAULT` is `kill@STEP`, `kill@STEP+MILLISECONDS` (SIGKILL to ourselves at or after the step begins) or
//! `hold@STEP=FILE` (makes FILE and goes on when it is removed). `KOPI_DOCKA_FAULT_<NAME>_SECONDS` takes the place of a time that is
//! too long for a test, `…_BYTES` of a size. `KOPI_DOCKA_FAULT_NUMBERS=by-path` makes inode numbers those of a file system that derives them from paths.

#[cfg(debug_assertions)]
pub async fn reached(step: &str) {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    let Ok(fault) = std::env::var("KOPI_DOCKA_FAULT") else {
        return;
    };
    let die = || {
        let _ = kill_process(getpid(), Signal::KILL);
    };
    match fault.split_once('@') {
        Some(("kill", at)) => match at.split_once('+') {
            None if at == step => die(),
            Some((name, delay)) if name == step => {
                let delay = Duration::from_millis(delay.parse().unwrap_or(0));
                std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    let _ = kill_process(getpid(), Signal::KILL);
                });
            }
            _ => {}
        },
        Some(("hold", at)) => {
            if let Some((name, file)) = at.split_once('=')
                && name == step
                && std::fs::write(file, step).is_ok()
            {
                while std::path::Path::new(file).exists() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        _ => {}
    }
}

/// As [`reached`] for `kill@STEP`, where nothing can be awaited.
#[cfg(debug_assertions)]
pub fn reached_now(step: &str) {
    use rustix::process::{Signal, getpid, kill_process};

    if std::env::var("KOPI_DOCKA_FAULT").is_ok_and(|fault| fault == format!("kill@{step}")) {
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
pub fn reached_now(_step: &str) {}

#[cfg(not(debug_assertions))]
#[expect(clippy::unused_async, reason = "the debug build waits here")]
pub async fn reached(_step: &str) {}

/// The time that a test wants for `name`.
#[cfg(debug_assertions)]
pub fn duration(name: &str) -> Option<std::time::Duration> {
    let variable = format!("KOPI_DOCKA_FAULT_{}_SECONDS", name.to_uppercase());
    let seconds = std::env::var(variable).ok()?.parse().ok()?;
    Some(std::time::Duration::from_secs(seconds))
}

#[cfg(not(debug_assertions))]
pub fn duration(_name: &str) -> Option<std::time::Duration> {
    None
}

/// The number of bytes that a test wants for `name`.
#[cfg(debug_assertions)]
pub fn bytes(name: &str) -> Option<u64> {
    let variable = format!("KOPI_DOCKA_FAULT_{}_BYTES", name.to_uppercase());
    std::env::var(variable).ok()?.parse().ok()
}

#[cfg(not(debug_assertions))]
pub fn bytes(_name: &str) -> Option<u64> {
    None
}

/// The inode number `number` of what is at `path`, or what a file system that goes by paths would give it.
#[cfg(debug_assertions)]
pub fn number(path: &std::path::Path, number: u64) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};

    if std::env::var_os("KOPI_DOCKA_FAULT_NUMBERS").is_none_or(|how| how != "by-path") {
        return number;
    }
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(not(debug_assertions))]
pub fn number(_path: &std::path::Path, number: u64) -> u64 {
    number
}
