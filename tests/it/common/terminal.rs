//! A program on a terminal, with somebody at the keys.

use std::process::Command;

use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};
use rustix::termios::{LocalModes, tcgetattr};

/// How long a text may take to appear.
const PATIENCE_MS: u64 = 120_000;

pub struct Terminal {
    session: PtySession,
    line: String,
}

impl Terminal {
    pub(super) fn start(command: Command, line: String) -> Self {
        let session = spawn_command(command, Some(PATIENCE_MS))
            .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        Self { session, line }
    }

    /// Waits until `text` has appeared; returns what came before it.
    #[track_caller]
    pub fn see(&mut self, text: &str) -> String {
        match self.session.exp_string(text) {
            Ok(before) => before,
            Err(error) => panic!("`{text}` never came from {}: {error}", self.line),
        }
    }

    #[track_caller]
    pub fn press(&mut self, keys: &str) {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
    }

    /// Waits for `question` and chooses the item at `index` of its list.
    #[track_caller]
    pub fn choose(&mut self, question: &str, index: usize) {
        self.see(question);
        self.press(&"j".repeat(index));
        self.press("\r");
    }

    /// Waits for `question` and types `text`.
    #[track_caller]
    pub fn answer(&mut self, question: &str, text: &str) {
        self.see(question);
        self.press(text);
        self.press("\r");
    }

    /// As `kill` and systemd end it.
    pub fn terminate(&mut self) {
        let signal = rexpect::process::Signal::SIGTERM;
        self.session.process_mut().signal(signal).unwrap();
    }

    /// Waits for its end, which must leave the terminal as it was, and the cursor shown. Returns the rest.
    #[track_caller]
    pub fn code(mut self, code: i32) -> String {
        let rest = self.session.exp_eof().unwrap();
        let terminal = self.session.process().get_file_handle().unwrap();
        let modes = tcgetattr(terminal).unwrap().local_modes;
        // Whether keys are echoed is what the library that holds the other end decides.
        assert!(
            modes.contains(LocalModes::ICANON | LocalModes::ISIG),
            "{modes:?}: {rest}"
        );
        match self.session.process().wait().unwrap() {
            WaitStatus::Exited(_, found) => assert_eq!(found, code, "{}: {rest}", self.line),
            other => panic!("{}: {other:?}: {rest}", self.line),
        }
        let (hidden, shown) = (rest.rfind("\x1b[?25l"), rest.rfind("\x1b[?25h"));
        assert!(
            hidden.is_none() || shown > hidden,
            "the cursor is hidden: {rest}"
        );
        rest
    }
}
